#include "answer_journal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"

namespace tg::llm {
namespace {

constexpr std::uint64_t header_bytes = 16;  // of a frame, storage/journal.hpp
constexpr std::size_t most_open_files = 200;
constexpr std::size_t most_unfolded = 16;  // of a few MiB each; API ranks of earlier runs whose answers come mixed
constexpr int offset_bits = 40;

std::string_view key_text(const Digest& key) {
    return {reinterpret_cast<const char*>(key.bytes.data()), sizeof(Digest::bytes)};
}

// The files of a folder that hold answers: folded ones first, in the order of their writing.
std::vector<std::filesystem::path> answer_files(const std::filesystem::path& folder) {
    auto files = storage::folded_files(folder);
    const auto journals = storage::journal_files(folder);
    files.insert(files.end(), journals.begin(), journals.end());
    return files;
}

// Whole or nothing.
bool read_at(int fd, std::uint64_t offset, char* to, std::size_t size) {
    while (size > 0) {
        const auto count = ::pread(fd, to, size, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        to += count, offset += static_cast<std::uint64_t>(count), size -= static_cast<std::size_t>(count);
    }
    return true;
}

}  // namespace

AnswerJournal::AnswerJournal(const std::filesystem::path& folder, int rank, std::chrono::milliseconds group_time,
                             bool keep_failures)
    : slots_(1024),
      files_(answer_files(folder)),
      folded_count_(static_cast<std::size_t>(
          std::ranges::count(files_, std::filesystem::path(".h5"), [](const auto& file) { return file.extension(); }))),
      keep_failures_(keep_failures),
      writer_(files_.emplace_back(storage::new_journal_name(folder, rank)), group_time) {
    for (std::size_t file = 0; file < folded_count_; ++file) {
        const FoldedAnswers folded(files_[file]);
        for (std::size_t row = 0; row < folded.size(); ++row) index(folded.key(row), folded.record(row), file, row);
    }
    for (std::size_t file = folded_count_; file + 1 < files_.size(); ++file) {
        const auto folded_before = folded_bytes(files_[file]);
        const auto damage = storage::read_journal(
            files_[file], [&](std::string_view key, std::string_view value, std::uint64_t value_offset) {
                if (key.size() != sizeof(Digest::bytes) || value_offset < folded_before)
                    return;  // not an answer, or indexed already
                const auto record = decoded(value);
                if (!record) return;
                Digest digest;
                std::memcpy(digest.bytes.data(), key.data(), sizeof(Digest::bytes));
                index(digest, *record, file, value_offset - sizeof(Digest::bytes) - header_bytes);
            });
        for (const auto& found : damage) {
            if (found.torn_tail)
                log::info("{}: the last record is cut short, as after a crash; it is dropped", found.file.string());
            else
                log::warn("{}: damaged at byte {} ({}); what stood there is asked again, what follows is kept",
                          found.file.string(), found.offset, found.what);
        }
    }
}

void AnswerJournal::index(const Digest& key, const AnswerRecord& record, std::size_t file, std::uint64_t place) {
    auto& paid = paid_before_[{record.endpoint, record.stage}];
    paid.tokens_in += record.tokens_in;
    paid.tokens_out += record.tokens_out;
    if (record.usd) paid.usd += *record.usd;
    else if (record.tokens_in > 0) paid.price_known = false;
    const bool answer = record.result == AnswerRecord::Result::answered;
    const bool failure = record.result == AnswerRecord::Result::failed && keep_failures_ && !has(key);
    if (answer || failure) remember(key, std::uint64_t{file} << offset_bits | (place + 1));
}

AnswerJournal::~AnswerJournal() {
    for (const auto& [file, fd] : open_) ::close(fd);
}

std::size_t AnswerJournal::slot_of(const Digest& key) const {
    for (auto at = DigestHash{}(key) % slots_.size();; at = at + 1 == slots_.size() ? 0 : at + 1)
        if (slots_[at].place == 0 || slots_[at].key == key) return at;
}

void AnswerJournal::remember(const Digest& key, std::uint64_t place) {
    if ((used_ + 1) * 4 > slots_.size() * 3) {
        std::vector<Slot> old(slots_.size() * 2);
        old.swap(slots_);
        for (const auto& slot : old)
            if (slot.place) slots_[slot_of(slot.key)] = slot;
    }
    auto& slot = slots_[slot_of(key)];
    used_ += slot.place == 0;
    slot = {key, place};
}

bool AnswerJournal::has(const Digest& key) const { return slots_[slot_of(key)].place != 0; }

int AnswerJournal::opened(std::size_t file) const {
    if (const auto it = open_.find(file); it != open_.end()) return it->second;
    if (open_.size() >= most_open_files) {
        for (const auto& [number, fd] : open_) ::close(fd);
        open_.clear();
    }
    const int fd = ::open(files_[file].c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        throw StorageError(fmt::format("{}: cannot be opened ({})", files_[file].string(), std::strerror(errno)));
    return open_[file] = fd;
}

const FoldedAnswers& AnswerJournal::unfolded(std::size_t file) const {
    const auto known =
        std::find_if(unfolded_.begin(), unfolded_.end(), [&](const auto& entry) { return entry.first == file; });
    if (known != unfolded_.end()) {
        unfolded_.splice(unfolded_.begin(), unfolded_, known);
    } else {
        unfolded_.emplace_front(file, FoldedAnswers(files_[file]));
        if (unfolded_.size() > most_unfolded) unfolded_.pop_back();
    }
    return unfolded_.front().second;
}

std::optional<AnswerRecord> AnswerJournal::read_frame(std::size_t file, std::uint64_t frame) const {
    const int fd = opened(file);
    std::array<std::uint32_t, 4> header{};  // magic, key length, value length, checksum
    if (!read_at(fd, frame, reinterpret_cast<char*>(header.data()), header_bytes) || header[1] != sizeof(Digest::bytes))
        return std::nullopt;
    std::string value(header[2], '\0');
    return read_at(fd, frame + header_bytes + sizeof(Digest::bytes), value.data(), value.size()) ? decoded(value)
                                                                                                 : std::nullopt;
}

std::optional<AnswerRecord> AnswerJournal::find(const Digest& key) const {
    const auto slot = slots_[slot_of(key)].place;
    if (slot == 0) return std::nullopt;
    const auto file = static_cast<std::size_t>(slot >> offset_bits);
    const auto place = (slot & ((std::uint64_t{1} << offset_bits) - 1)) - 1;
    if (file < folded_count_) return unfolded(file).record(place);
    auto record = read_frame(file, place);
    if (!record)
        throw StorageError(fmt::format("{}: the record at byte {} cannot be read back", files_[file].string(), place),
                           "the file was changed while the program ran");
    return record;
}

void AnswerJournal::append(const Digest& key, const AnswerRecord& record, std::function<void()> on_durable) {
    const auto value = encoded(record);
    writer_.append(key_text(key), value, std::move(on_durable));
    if (record.result == AnswerRecord::Result::answered)
        remember(key, std::uint64_t{files_.size() - 1} << offset_bits | (own_bytes_ + 1));
    own_bytes_ += header_bytes + sizeof(Digest::bytes) + value.size();
}

}  // namespace tg::llm
