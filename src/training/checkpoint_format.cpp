#include "checkpoint_format.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/error.hpp"

namespace tg::training {

std::uint64_t checkpoint_checksum(std::span<const float> values, std::uint64_t first) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, &values[i], sizeof bits);
        auto x = bits * std::uint64_t{0x9e3779b97f4a7c15} +
                 (first + i) * std::uint64_t{0xd6e8feb86659fd93};  // one to one in `bits`
        x = (x ^ (x >> 32)) * std::uint64_t{0xff51afd7ed558ccd};
        sum += x ^ (x >> 29);
    }
    return sum;
}

SharedFile::SharedFile(const std::filesystem::path& path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CLOEXEC)) {
    if (file_ < 0) fail("opening");
}

SharedFile::~SharedFile() { ::close(file_); }

void SharedFile::reserve(std::uint64_t bytes) const {
    if (::fallocate(file_, 0, 0, static_cast<off_t>(bytes)) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        fail("making room for it");
}

void SharedFile::write(std::span<const std::byte> bytes, std::uint64_t at) const {
    const CountedFileWork count(bytes.size());
    const auto first = at;
    const auto length = bytes.size();
    while (!bytes.empty()) {
        const auto written = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("writing");
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        at += static_cast<std::uint64_t>(written);
    }
    ::sync_file_range(file_, static_cast<off_t>(first), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
}

void SharedFile::sync() const {
    if (::fsync(file_) != 0) fail("fsync");
}

void SharedFile::fail(const char* doing) const {
    const int code = errno;
    throw StorageError(fmt::format("{}: {} failed ({})", path_.string(), doing, std::strerror(code)),
                       code == ENOSPC || code == EDQUOT ? "free space there, then give the same command again" : "");
}

}  // namespace tg::training
