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

namespace tg::storage {
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

JournalWriter::JournalWriter(const std::filesystem::path& path, std::chrono::milliseconds group_time)
    : impl_(std::make_unique<Impl>()) {
    impl_->path = path;
    impl_->group_time = group_time;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    impl_->fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (impl_->fd < 0)
        throw StorageError(fmt::format("{}: the journal cannot be made ({})", path.string(), std::strerror(errno)));
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
    if (key.size() > longest_field || value.size() > longest_field)
        throw StorageError(
            fmt::format("{}: a record of {} bytes is too long", impl_->path.string(), key.size() + value.size()));
    const FrameHeader header{frame_magic, static_cast<std::uint32_t>(key.size()),
                             static_cast<std::uint32_t>(value.size()), checksum_of(key, value)};
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->failure.empty())
        throw StorageError(impl_->failure, "free space there, then give the same command again");
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
    if (!impl_->failure.empty())
        throw StorageError(impl_->failure, "free space there, then give the same command again");
    impl_->hurry = false;
}

namespace {

// Reads frames at any place of a journal.
class FrameReader {
public:
    explicit FrameReader(const std::filesystem::path& path)
        : path_(path), in_(path, std::ios::binary), size_(in_ ? std::filesystem::file_size(path) : 0) {
        if (!in_) throw StorageError(path.string() + ": the journal cannot be read");
    }

    std::uint64_t size() const { return size_; }
    // Key and value of the whole frame that begins at `at`, in `record`; what is wrong with it, or nothing.
    const char* read(std::uint64_t at, FrameHeader& header, std::string& record) {
        if (size_ - at < sizeof header) return cut_short_;
        get(at, reinterpret_cast<char*>(&header), sizeof header);
        if (header.magic != frame_magic || header.key_length > longest_field || header.value_length > longest_field)
            return "not the beginning of a frame";
        const auto length = std::uint64_t{header.key_length} + header.value_length;
        if (size_ - at - sizeof header < length) return cut_short_;
        record.resize(length);
        get(at + sizeof header, record.data(), length);
        const std::string_view both = record;
        return checksum_of(both.substr(0, header.key_length), both.substr(header.key_length)) == header.checksum
                   ? nullptr
                   : "the checksum does not match";
    }
    // Where the next whole frame begins, from `at` on; size() if there is none.
    std::uint64_t next_whole(std::uint64_t at) {
        const std::string_view mark(reinterpret_cast<const char*>(&frame_magic), sizeof frame_magic);
        std::string block, record;
        for (FrameHeader header{}; at + mark.size() <= size_; at += block.size() - mark.size() + 1) {
            block.resize(std::min<std::uint64_t>(size_ - at, 1 << 16));
            get(at, block.data(), block.size());
            for (auto found = block.find(mark); found != block.npos; found = block.find(mark, found + 1))
                if (!read(at + found, header, record)) return at + found;
        }
        return size_;
    }
    static bool is_cut_short(const char* fault) { return fault == cut_short_; }

private:
    void get(std::uint64_t at, char* to, std::uint64_t count) {
        if (at != at_) in_.seekg(static_cast<std::streamoff>(at));
        if (!in_.read(to, static_cast<std::streamsize>(count))) throw StorageError(path_.string() + ": a read failed");
        at_ = at + count;
    }

    static constexpr const char* cut_short_ = "cut short within a record";
    const std::filesystem::path& path_;
    std::ifstream in_;
    std::uint64_t size_, at_ = 0;
};

}  // namespace

std::vector<JournalDamage> read_journal(
    const std::filesystem::path& path,
    const std::function<void(std::string_view key, std::string_view value, std::uint64_t value_offset)>& each) {
    FrameReader frames(path);
    std::vector<JournalDamage> damage;
    FrameHeader header{};
    std::string record;
    for (std::uint64_t at = 0; at < frames.size();) {
        if (const auto* fault = frames.read(at, header, record)) {
            const bool last = FrameReader::is_cut_short(fault) || at + sizeof header + record.size() == frames.size();
            const auto next = frames.next_whole(at + 1);
            damage.push_back({path, at, fault, last && next == frames.size()});
            at = next;
            continue;
        }
        const std::string_view both = record;
        each(both.substr(0, header.key_length), both.substr(header.key_length), at + sizeof header + header.key_length);
        at += sizeof header + record.size();
    }
    return damage;
}

static std::vector<std::filesystem::path> files_with(const std::filesystem::path& folder, std::string_view suffix) {
    std::vector<std::filesystem::path> files;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
        if (entry.path().extension() == suffix) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}
std::vector<std::filesystem::path> journal_files(const std::filesystem::path& folder) {
    return files_with(folder, ".journal");
}
std::vector<std::filesystem::path> folded_files(const std::filesystem::path& folder) {
    return files_with(folder, ".h5");
}

std::filesystem::path folded_name(const std::filesystem::path& journal, int number) {
    auto name = journal;
    return name.replace_extension(fmt::format("{:06}.h5", number));
}

std::filesystem::path new_journal_name(const std::filesystem::path& folder, int rank) {
    for (int life = 0;; ++life) {
        auto name = folder / fmt::format("{:05}-{:05}.journal", life, rank);
        if (!std::filesystem::exists(name) && !std::filesystem::exists(folded_name(name, 0))) return name;
    }
}

}  // namespace tg::storage
