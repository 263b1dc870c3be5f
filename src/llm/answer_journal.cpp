#include "answer_journal.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t header_bytes = 16;  // of a frame, storage/journal.hpp
constexpr std::uint64_t key_bytes = sizeof(Digest::bytes);
constexpr std::size_t most_open_files = 200;
constexpr int offset_bits = 40;

constexpr std::array<std::string_view, 3> outcome_names{"answered", "failed", "unusable"};

std::string_view key_text(const Digest& key) { return {reinterpret_cast<const char*>(key.bytes.data()), key_bytes}; }

std::string encoded(const AnswerRecord& r) {
    Json line{{"outcome", outcome_names[static_cast<std::size_t>(r.outcome)]}, {"stage", r.stage}, {"item", r.item}, {"endpoint", r.endpoint}, {"model", r.model},
              {"tries", r.tries}, {"in", r.tokens_in}, {"out", r.tokens_out}, {"at", utc_now()}};
    if (r.usd) line["usd"] = *r.usd;
    if (!r.kind.empty()) line["class"] = r.kind;
    if (!r.detail.empty()) line["detail"] = r.detail;
    if (!r.request_id.empty()) line["request"] = r.request_id;
    if (r.status) line["status"] = r.status;
    auto text = line.dump(-1, ' ', false, Json::error_handler_t::replace);
    text += '\n';
    text += r.text;
    return text;
}

std::optional<AnswerRecord> decoded(std::string_view value, bool with_text) {
    const auto end = value.find('\n');
    const auto line = Json::parse(value.substr(0, end), nullptr, false);
    if (end == std::string_view::npos || !line.is_object()) return std::nullopt;
    AnswerRecord r;
    const auto outcome = line.value("outcome", std::string());
    if (outcome == outcome_names[1]) r.outcome = AnswerRecord::Outcome::failed;
    else if (outcome == outcome_names[2]) r.outcome = AnswerRecord::Outcome::unusable;
    r.stage = line.value("stage", std::string());
    r.endpoint = line.value("endpoint", std::string());
    r.tokens_in = line.value("in", std::int64_t{0});
    r.tokens_out = line.value("out", std::int64_t{0});
    if (line.contains("usd")) r.usd = line.value("usd", 0.0);
    if (!with_text) return r;
    r.item = line.value("item", std::string());
    r.model = line.value("model", std::string());
    r.tries = line.value("tries", 1);
    r.kind = line.value("class", std::string());
    r.detail = line.value("detail", std::string());
    r.text = value.substr(end + 1);
    return r;
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

AnswerJournal::AnswerJournal(const std::filesystem::path& folder, int rank, std::chrono::milliseconds group_time, bool keep_failures)
    : slots_(1024), files_(journal_files(folder)), keep_failures_(keep_failures), writer_(files_.emplace_back(new_journal_name(folder, rank)), group_time) {
    for (std::size_t file = 0; file + 1 < files_.size(); ++file) {
        const auto damage = read_journal(files_[file], [&](std::string_view key, std::string_view value, std::uint64_t value_offset) {
            if (key.size() != key_bytes) return;  // not an answer
            const auto record = decoded(value, false);
            if (!record) return;
            auto& paid = paid_before_[{record->endpoint, record->stage}];
            paid.tokens_in += record->tokens_in;
            paid.tokens_out += record->tokens_out;
            if (record->usd) paid.usd += *record->usd;
            else if (record->tokens_in > 0) paid.price_known = false;
            Digest digest;
            std::memcpy(digest.bytes.data(), key.data(), key_bytes);
            const bool answer = record->outcome == AnswerRecord::Outcome::answered;
            const bool failure = record->outcome == AnswerRecord::Outcome::failed && keep_failures_ && !has(digest);
            if (answer || failure) remember(digest, std::uint64_t{file} << offset_bits | (value_offset - key_bytes - header_bytes + 1));
        });
        for (const auto& found : damage) {
            if (found.torn_tail) log::info("{}: the last record is cut short, as after a crash; it is dropped", found.file.string());
            else log::warn("{}: damaged at byte {} ({}); the answers behind that place are lost and will be asked again", found.file.string(), found.offset, found.what);
        }
    }
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
    if (fd < 0) throw StorageError(fmt::format("{}: cannot be opened ({})", files_[file].string(), std::strerror(errno)));
    return open_[file] = fd;
}

std::optional<AnswerRecord> AnswerJournal::find(const Digest& key) const {
    const auto place = slots_[slot_of(key)].place;
    if (place == 0) return std::nullopt;
    const auto file = static_cast<std::size_t>(place >> offset_bits);
    const auto frame = (place & ((std::uint64_t{1} << offset_bits) - 1)) - 1;
    const int fd = opened(file);
    std::array<std::uint32_t, 4> header{};  // magic, key length, value length, checksum
    std::string value;
    bool whole = read_at(fd, frame, reinterpret_cast<char*>(header.data()), header_bytes) && header[1] == key_bytes;
    if (whole) {
        value.resize(header[2]);
        whole = read_at(fd, frame + header_bytes + key_bytes, value.data(), value.size());
    }
    auto record = whole ? decoded(value, true) : std::nullopt;
    if (!record) throw StorageError(fmt::format("{}: the record at byte {} cannot be read back", files_[file].string(), frame), "the file was changed while the program ran");
    return record;
}

void AnswerJournal::append(const Digest& key, const AnswerRecord& record, std::function<void()> on_durable) {
    const auto value = encoded(record);
    writer_.append(key_text(key), value, std::move(on_durable));
    if (record.outcome == AnswerRecord::Outcome::answered) remember(key, std::uint64_t{files_.size() - 1} << offset_bits | (own_bytes_ + 1));
    own_bytes_ += header_bytes + key_bytes + value.size();
}

}  // namespace tg
