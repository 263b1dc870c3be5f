#include "taskgalaxy/run/lock.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::run {
namespace {

// fcntl locks work on NFS and Lustre (mounted with flock); "open file description" locks belong to the descriptor, not
// the process.
bool try_lock(int fd) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

std::string words_in(int fd) {
    char text[256] = {};
    const auto length = pread(fd, text, sizeof text - 1, 0);
    return length > 0 ? std::string(trimmed(text)) : "another process";
}

}  // namespace

Lock::Lock(const std::filesystem::path& run_folder) {
    const auto path = run_folder / ".lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) throw StorageError(fmt::format("{}: cannot be opened ({})", path.string(), std::strerror(errno)));
    if (!try_lock(fd_)) {
        const auto reason = errno;
        const auto who = words_in(fd_);
        ::close(std::exchange(fd_, -1));
        if (reason == EAGAIN || reason == EACCES)
            throw StorageError(fmt::format("{}: this run directory is in use by {}", run_folder.string(), who),
                               "wait for it to end, or give another run.folder");
        throw StorageError(fmt::format("{}: cannot be locked ({})", path.string(), std::strerror(reason)),
                           "mount the file system with locks (Lustre: -o flock)");
    }
    char host[128] = "?";
    gethostname(host, sizeof host - 1);
    const char* slurm_job = std::getenv("SLURM_JOB_ID");
    const auto words = fmt::format("process {} on {}{}, since {}\n", getpid(), host,
                                   slurm_job ? fmt::format(" (Slurm job {})", slurm_job) : "", utc_now());
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, words.data(), words.size(), 0) < 0)
        throw StorageError(fmt::format("{}: cannot be written ({})", path.string(), std::strerror(errno)));
}

Lock::~Lock() {
    if (fd_ >= 0) ::close(fd_);
}

std::string Lock::holder(const std::filesystem::path& run_folder) {
    const int fd = ::open((run_folder / ".lock").c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return {};
    const auto who = try_lock(fd) ? std::string() : words_in(fd);
    ::close(fd);
    return who;
}

}  // namespace tg::run
