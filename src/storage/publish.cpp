#include "taskgalaxy/storage/publish.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

#include "taskgalaxy/core/costs.hpp"
#include "write_file.hpp"

namespace tg::storage {
namespace {

class SyncedFile {
public:
    SyncedFile(const std::filesystem::path& path, int flags, mode_t mode = 0644)
        : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
        if (fd_ < 0) fail("opening");
    }
    ~SyncedFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    SyncedFile(const SyncedFile&) = delete;
    SyncedFile& operator=(const SyncedFile&) = delete;
    int get() const { return fd_; }
    void sync() const {
        if (::fsync(fd_) != 0) fail("fsync");
    }
    [[noreturn]] void fail(const char* doing) const {
        const int code = errno;
        throw StorageError(
            fmt::format("{}: {} failed ({})", path_.string(), doing, std::strerror(code)),
            code == ENOSPC || code == EDQUOT ? "free space there, then give the same command again" : "");
    }

private:
    std::filesystem::path path_;
    int fd_;
};

void make_folder_of(const std::filesystem::path& file) {
    std::error_code error;
    if (const auto folder = file.parent_path(); !folder.empty()) std::filesystem::create_directories(folder, error);
    if (error)
        throw StorageError(
            fmt::format("{}: the folder cannot be made ({})", file.parent_path().string(), error.message()));
}

}  // namespace

std::filesystem::path temporary_name(const std::filesystem::path& final_name) { return final_name.string() + ".tmp"; }

void sync_folder(const std::filesystem::path& folder) {
    SyncedFile(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY).sync();
}

void publish(const std::filesystem::path& final_name) {
    const CountedFileWork count(0, 3);  // two syncs and the renaming
    const auto temporary = temporary_name(final_name);
    SyncedFile(temporary, O_RDONLY).sync();
    std::error_code error;
    std::filesystem::rename(temporary, final_name, error);
    if (error)
        throw StorageError(fmt::format("{}: renaming it into place failed ({})", temporary.string(), error.message()));
    sync_folder(final_name.parent_path());
}

void write_whole_file(const std::filesystem::path& path, std::string_view bytes) {
    const CountedFileWork count(bytes.size());
    const SyncedFile out(path, O_WRONLY | O_CREAT | O_TRUNC);
    while (!bytes.empty()) {
        const auto written = ::write(out.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) out.fail("writing");
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

void publish_text(const std::filesystem::path& final_name, std::string_view text) {
    make_folder_of(final_name);
    write_whole_file(temporary_name(final_name), text);
    publish(final_name);
}

void publish_stream(const std::filesystem::path& final_name, const std::function<void(std::ostream&)>& fill) {
    make_folder_of(final_name);
    const auto temporary = temporary_name(final_name);
    errno = 0;
    std::ofstream out(temporary, std::ios::binary);
    if (out) fill(out);
    out.close();
    if (!out)
        throw StorageError(fmt::format("{}: writing failed ({})", temporary.string(),
                                       errno ? std::strerror(errno) : "no reason given"),
                           errno == ENOSPC ? "free space there, then give the same command again" : "");
    publish(final_name);
}

void publish_hdf5(const std::filesystem::path& final_name, const std::function<void(Hdf5File&)>& fill) {
    make_folder_of(final_name);
    auto file = Hdf5File::create(temporary_name(final_name));
    fill(file);
    file.close();
    publish(final_name);
}

void publish_hdf5_together(const std::filesystem::path& final_name, const parallel::Communicator& ranks,
                           const std::function<void(Hdf5File&)>& fill) {
    parallel::together(ranks, [&] {
        if (ranks.is_root()) make_folder_of(final_name);
    });
    {
        auto file = Hdf5File::create_together(temporary_name(final_name), ranks);
        fill(file);
        file.close();
    }
    parallel::together(ranks, [&] {
        if (ranks.is_root()) publish(final_name);
    });
}

}  // namespace tg::storage
