#include "taskgalaxy/storage/journal.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg {
namespace {

constexpr std::uint32_t frame_magic = 0x4A475431;  // "1TGJ" on disk
constexpr std::uint32_t longest_field = 1u << 30;

struct FrameHeader {
    std::uint32_t magic, key_length, value_length, checksum;
};
static_assert(sizeof(FrameHeader) == 16);
static_assert(std::endian::native == std::endian::little, "journals are little-endian");

std::uint32_t checksum_of(std::string_view key, std::string_view value) {
    const auto digest = DigestBuilder().add(key).add(value).finish();
    std::uint32_t sum;
    std::memcpy(&sum, digest.bytes.data(), sizeof sum);
    return sum;
}

}  // namespace

struct JournalWriter::Impl {
    std::filesystem::path path;
    std::chrono::milliseconds group_time;
    int fd = -1;
    std::mutex mutex;
    std::condition_variable wake, durable;
    std::string pending;
    std::vector<std::function<void()>> pending_callbacks;
    std::uint64_t appended = 0, committed = 0;
    std::string failure;
    bool closing = false, hurry = false;
    std::thread thread;

    // Empty on success.
    std::string write_group(const std::string& bytes) const {
        for (std::size_t at = 0; at < bytes.size();) {
            const auto written = ::write(fd, bytes.data() + at, bytes.size() - at);
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return fmt::format("{}: writing failed ({})", path.string(), std::strerror(errno));
            at += static_cast<std::size_t>(written);
        }
        if (::fdatasync(fd) != 0) return fmt::format("{}: fdatasync failed ({})", path.string(), std::strerror(errno));
        return {};
    }

    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            wake.wait(lock, [&] { return closing || !pending.empty(); });
            if (pending.empty()) return;
            // One fsync serves all that arrives within the group time.
            wake.wait_for(lock, group_time, [&] { return closing || hurry; });
            hurry = false;
            std::string bytes;
            std::vector<std::function<void()>> callbacks;
            bytes.swap(pending);
            callbacks.swap(pending_callbacks);
            const auto upto = appended;
            if (failure.empty()) {
                lock.unlock();
                auto problem = write_group(bytes);
                if (problem.empty())
                    for (const auto& callback : callbacks)
                        if (callback) callback();
                lock.lock();
                // After a failed write the file may end in a torn frame: nothing more may follow it.
                if (problem.empty()) committed = upto;
                else failure = std::move(problem);
            }
            durable.notify_all();
        }
    }
};

JournalWriter::JournalWriter(const std::filesystem::path& path, std::chrono::milliseconds group_time) : impl_(std::make_unique<Impl>()) {
    impl_->path = path;
    impl_->group_time = group_time;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    impl_->fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (impl_->fd < 0) throw StorageError(fmt::format("{}: the journal cannot be made ({})", path.string(), std::strerror(errno)));
    sync_folder(path.parent_path());
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

JournalWriter::~JournalWriter() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->closing = true;
    }
    impl_->wake.notify_all();
    impl_->thread.join();
    if (!impl_->failure.empty()) log::error("{}", impl_->failure);
    ::close(impl_->fd);
}

void JournalWriter::append(std::string_view key, std::string_view value, std::function<void()> on_durable) {
    if (key.size() > longest_field || value.size() > longest_field) throw StorageError(fmt::format("{}: a record of {} bytes is too long", impl_->path.string(), key.size() + value.size()));
    const FrameHeader header{frame_magic, static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(value.size()), checksum_of(key, value)};
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->failure.empty()) throw StorageError(impl_->failure, "free space there, then give the same command again");
    impl_->pending.append(reinterpret_cast<const char*>(&header), sizeof header).append(key).append(value);
    impl_->pending_callbacks.push_back(std::move(on_durable));
    ++impl_->appended;
    impl_->wake.notify_one();
}

void JournalWriter::commit() {
    std::unique_lock lock(impl_->mutex);
    const auto upto = impl_->appended;
    impl_->hurry = true;
    impl_->wake.notify_one();
    impl_->durable.wait(lock, [&] { return impl_->committed >= upto || !impl_->failure.empty(); });
    if (!impl_->failure.empty()) throw StorageError(impl_->failure, "free space there, then give the same command again");
    impl_->hurry = false;
}

std::vector<JournalDamage> read_journal(const std::filesystem::path& path, const std::function<void(std::string_view key, std::string_view value, std::uint64_t value_offset)>& each) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw StorageError(path.string() + ": the journal cannot be read");
    const auto size = std::filesystem::file_size(path);
    std::string record;
    std::uint64_t at = 0;
    while (at < size) {
        FrameHeader header{};
        if (size - at < sizeof header || !in.read(reinterpret_cast<char*>(&header), sizeof header)) return {{path, at, "cut short within a frame's header", true}};
        if (header.magic != frame_magic || header.key_length > longest_field || header.value_length > longest_field) return {{path, at, "not the beginning of a frame", false}};
        const auto length = std::uint64_t{header.key_length} + header.value_length;
        if (size - at - sizeof header < length) return {{path, at, "cut short within a record", true}};
        record.resize(length);
        if (!in.read(record.data(), static_cast<std::streamsize>(length))) throw StorageError(path.string() + ": a read failed");
        const auto key = std::string_view(record).substr(0, header.key_length), value = std::string_view(record).substr(header.key_length);
        const bool last = at + sizeof header + length == size;
        if (checksum_of(key, value) != header.checksum) return {{path, at, "the checksum does not match", last}};
        each(key, value, at + sizeof header + header.key_length);
        at += sizeof header + length;
    }
    return {};
}

std::vector<std::filesystem::path> journal_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
        if (entry.path().extension() == ".journal") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

std::filesystem::path new_journal_name(const std::filesystem::path& folder, int rank) {
    for (int life = 0;; ++life) {
        auto name = folder / fmt::format("{:05}-{:05}.journal", life, rank);
        if (!std::filesystem::exists(name)) return name;
    }
}

}  // namespace tg
