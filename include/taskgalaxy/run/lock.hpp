// Two jobs never write one run directory: rank 0 holds an advisory lock on RUN/.lock for the life of the process. The
// kernel drops it when the process dies, however it dies, so nothing is left to clean up.
#pragma once

#include <filesystem>
#include <string>

namespace tg::run {

class Lock {
public:
    // Throws StorageError naming who holds it.
    explicit Lock(const std::filesystem::path& run_folder);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    // Who holds the lock of a run, in words; empty if nobody.
    static std::string holder(const std::filesystem::path& run_folder);

private:
    int fd_ = -1;
};

}  // namespace tg::run
