// For MPI tests: the world that tests/mpi/main.cpp made, and a folder that all ranks share.
#pragma once

#include <memory>

#include "taskgalaxy/parallel/communicator.hpp"
#include "temporary_folder.hpp"

namespace tg::test {

const parallel::Communicator& world();

class SharedFolder {
public:
    SharedFolder() {
        if (world().is_root()) mine_ = std::make_unique<TemporaryFolder>();
        path_ = world().broadcast<std::string>(mine_ ? mine_->path().string() : "");
    }
    ~SharedFolder() { world().barrier(); }
    SharedFolder(const SharedFolder&) = delete;
    SharedFolder& operator=(const SharedFolder&) = delete;
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    const std::filesystem::path& path() const { return path_; }

private:
    std::unique_ptr<TemporaryFolder> mine_;
    std::filesystem::path path_;
};

}  // namespace tg::test
