#include "taskgalaxy/pool/file_reader.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace tg::pool {
namespace {

// Network file systems fail for a moment now and then; a picture is given up only after the last of these.
constexpr int attempts = 3;
bool may_pass(int code) { return code == EIO || code == ESTALE || code == ETIMEDOUT || code == EAGAIN; }
void wait_after(int attempt) { std::this_thread::sleep_for(std::chrono::milliseconds(50 << (2 * attempt))); }

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing, int code) {
    if (code == EMFILE || code == ENFILE || code == ENOMEM)
        throw StorageError(fmt::format("{}: {} failed ({})", path.string(), doing, std::strerror(code)),
                           "raise the limit (ulimit -n) or use fewer threads");
    const auto status =
        code == ENOENT || code == ENOTDIR ? pictures::PictureStatus::missing : pictures::PictureStatus::unreadable;
    throw pictures::UnreadableImage(status, fmt::format("{} failed ({})", doing, std::strerror(code)));
}

}  // namespace

OpenFile::OpenFile(const std::filesystem::path& path) : path_(path) {
    for (int attempt = 0; descriptor_ < 0; ++attempt) {
        descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor_ >= 0 || errno == EINTR) continue;
        if (!may_pass(errno) || attempt + 1 >= attempts) fail(path, "opening", errno);
        wait_after(attempt);
    }
    struct stat info {};
    const bool known = ::fstat(descriptor_, &info) == 0;
    if (known && S_ISREG(info.st_mode)) {
        size_ = static_cast<std::uint64_t>(info.st_size);
        return;
    }
    ::close(descriptor_);
    throw pictures::UnreadableImage(pictures::PictureStatus::unreadable, "not a regular file");
}

OpenFile::~OpenFile() { ::close(descriptor_); }

bool OpenFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
    int attempt = 0;
    while (!bytes.empty()) {
        const auto got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (got == 0) return false;
        if (got > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(got));
            offset += static_cast<std::uint64_t>(got);
        } else if (errno != EINTR) {
            if (!may_pass(errno) || ++attempt >= attempts) fail(path_, "reading", errno);
            wait_after(attempt);
        }
    }
    return true;
}

std::shared_ptr<const OpenFile> PictureFiles::shard(std::uint32_t container) const {
    const std::lock_guard lock(mutex_);
    if (const auto found = open_.find(container); found != open_.end()) {
        recent_.splice(recent_.begin(), recent_, found->second.second);
        return found->second.first;
    }
    auto file = std::make_shared<const OpenFile>(containers_[container].path);
    if (open_.size() >= most_open_shards) {
        open_.erase(recent_.back());
        recent_.pop_back();
    }
    recent_.push_front(container);
    open_.emplace(container, std::pair(file, recent_.begin()));
    return file;
}

std::vector<std::byte> PictureFiles::read(const ListedPicture& picture, std::uint64_t max_bytes) const {
    const auto& container = containers_.at(picture.container);
    const auto check_room = [&](std::uint64_t bytes) {
        if (bytes > max_bytes)
            throw pictures::UnreadableImage(pictures::PictureStatus::too_large,
                                            fmt::format("{} bytes, more than the {} allowed", bytes, max_bytes));
    };
    try {
        std::vector<std::byte> bytes;
        if (container.kind == Container::Kind::shard) {
            const auto file = shard(picture.container);
            check_room(picture.bytes);
            bytes.resize(picture.bytes);
            if (!file->read(picture.offset, bytes))
                throw pictures::UnreadableImage(pictures::PictureStatus::truncated,
                                                "the shard ends inside this member");
        } else {
            const OpenFile file(container.path / picture.uri.substr(container.prefix.size()));
            check_room(file.size());
            bytes.resize(file.size());
            if (!file.read(0, bytes))
                throw pictures::UnreadableImage(pictures::PictureStatus::truncated,
                                                "the file became shorter while it was read");
        }
        return bytes;
    } catch (const pictures::UnreadableImage& error) {
        // A folder that is gone (unmounted, renamed) would make every picture of it "missing".
        if (error.status() == pictures::PictureStatus::missing && !std::filesystem::exists(container.path))
            throw InputError(fmt::format("{} is not there any more", container.path.string()),
                             "mount it again, then give the same command");
        throw;
    }
}

}  // namespace tg::pool
