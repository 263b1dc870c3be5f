#include "folded_answers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/storage/journal.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::llm {
namespace {

constexpr std::size_t rows_a_file = 8192, text_bytes_a_file = std::size_t{8} << 20;

struct TextField {
    const char* column;
    std::string AnswerRecord::*field;
};
constexpr std::array text_fields{
    TextField{"stage", &AnswerRecord::stage},        TextField{"item", &AnswerRecord::item},
    TextField{"endpoint", &AnswerRecord::endpoint},  TextField{"model", &AnswerRecord::model},
    TextField{"class", &AnswerRecord::kind},         TextField{"detail", &AnswerRecord::detail},
    TextField{"request", &AnswerRecord::request_id}, TextField{"at", &AnswerRecord::at},
    TextField{"text", &AnswerRecord::text}};

// How many files it is folded into.
int files_of(const std::filesystem::path& journal) {
    int number = 0;
    while (std::filesystem::exists(storage::folded_name(journal, number))) ++number;
    return number;
}

// How much of it lies in its first `files` files.
std::uint64_t folded_bytes_in(const std::filesystem::path& journal, int files) {
    return files == 0
               ? 0
               : static_cast<std::uint64_t>(
                     storage::Hdf5File::open(storage::folded_name(journal, files - 1)).int_attribute("journal_bytes"));
}

// Rows of one file to come.
struct Rows {
    std::vector<std::uint8_t> key, outcome;
    std::vector<std::int32_t> tries, status;
    std::vector<std::int64_t> tokens_in, tokens_out;
    std::vector<double> usd;
    std::array<std::vector<std::string>, text_fields.size()> texts;
    std::size_t text_bytes = 0;

    void add(std::string_view digest, AnswerRecord&& r) {
        key.insert(key.end(), digest.begin(), digest.end());
        outcome.push_back(static_cast<std::uint8_t>(r.result));
        tries.push_back(r.tries);
        status.push_back(static_cast<std::int32_t>(r.status));
        tokens_in.push_back(r.tokens_in);
        tokens_out.push_back(r.tokens_out);
        usd.push_back(r.usd.value_or(std::numeric_limits<double>::quiet_NaN()));
        text_bytes += r.text.size();
        for (std::size_t f = 0; f < text_fields.size(); ++f) texts[f].push_back(std::move(r.*text_fields[f].field));
    }
    bool full() const { return outcome.size() >= rows_a_file || text_bytes >= text_bytes_a_file; }

    void write(const std::filesystem::path& path, std::uint64_t end_byte) const {
        storage::publish_hdf5(path, [&](storage::Hdf5File& file) {
            const std::uint64_t key_shape[] = {outcome.size(), sizeof(Digest::bytes)};
            file.write("key", std::span<const std::uint8_t>(key), key_shape);
            file.write("outcome", outcome);
            file.write("tries", tries);
            file.write("status", status);
            file.write("tokens_in", tokens_in);
            file.write("tokens_out", tokens_out);
            file.write("usd", usd);
            for (std::size_t f = 0; f < text_fields.size(); ++f) file.write_texts(text_fields[f].column, texts[f]);
            file.set_attribute("format", "taskgalaxy answers 1");
            file.set_attribute("outcomes", "0 answered, 1 failed, 2 unusable: paid, and asked again");
            file.set_attribute("journal_bytes", end_byte);
        });
    }
};

}  // namespace

FoldedAnswers::FoldedAnswers(const std::filesystem::path& path) {
    const auto file = storage::Hdf5File::open(path);
    key_ = file.read<std::uint8_t>("key");
    outcome_ = file.read<std::uint8_t>("outcome");
    tries_ = file.read<std::int32_t>("tries");
    status_ = file.read<std::int32_t>("status");
    tokens_in_ = file.read<std::int64_t>("tokens_in");
    tokens_out_ = file.read<std::int64_t>("tokens_out");
    usd_ = file.read<double>("usd");
    for (const auto& [column, field] : text_fields) texts_.emplace_back(file, column);
    const auto whole = [&](std::size_t size) { return size == outcome_.size(); };
    if (key_.size() != outcome_.size() * sizeof(Digest::bytes) || !whole(tries_.size()) || !whole(status_.size()) ||
        !whole(tokens_in_.size()) || !whole(tokens_out_.size()) || !whole(usd_.size()) ||
        !std::all_of(texts_.begin(), texts_.end(), [&](const auto& t) { return whole(t.size()); }))
        throw StorageError(path.string() + ": its columns differ in length",
                           "the file is damaged: remove it, and its answers are asked for again");
}

Digest FoldedAnswers::key(std::size_t row) const {
    Digest key;
    std::memcpy(key.bytes.data(), key_.data() + row * sizeof(Digest::bytes), sizeof(Digest::bytes));
    return key;
}

AnswerRecord FoldedAnswers::record(std::size_t row) const {
    AnswerRecord r;
    r.result = static_cast<AnswerRecord::Result>(outcome_[row]);
    r.tries = tries_[row];
    r.status = status_[row];
    r.tokens_in = tokens_in_[row];
    r.tokens_out = tokens_out_[row];
    if (!std::isnan(usd_[row])) r.usd = usd_[row];
    for (std::size_t f = 0; f < text_fields.size(); ++f) r.*text_fields[f].field = texts_[f][row];
    return r;
}

std::uint64_t folded_bytes(const std::filesystem::path& journal) { return folded_bytes_in(journal, files_of(journal)); }

std::uint64_t fold_answers(const std::filesystem::path& folder) {
    std::uint64_t folded = 0;
    const auto journals = storage::journal_files(folder);
    for (const auto& journal : journals) {
        int number = files_of(journal);
        const auto done = folded_bytes_in(journal, number);
        Rows rows;
        const auto damage =
            storage::read_journal(journal, [&](std::string_view key, std::string_view value, std::uint64_t offset) {
                if (offset < done || key.size() != sizeof(Digest::bytes)) return;
                auto record = decoded(value);
                if (!record) return;
                rows.add(key, std::move(*record));
                ++folded;
                if (!rows.full()) return;
                rows.write(storage::folded_name(journal, number++), offset + value.size());
                rows = {};
            });
        if (!rows.outcome.empty())
            rows.write(storage::folded_name(journal, number), std::filesystem::file_size(journal));
        const bool damaged =
            std::any_of(damage.begin(), damage.end(), [](const storage::JournalDamage& d) { return !d.torn_tail; });
        if (damaged) continue;  // stays for whoever wants to see what is left of it; its sound part is not read twice
        std::filesystem::remove(journal);
    }
    if (!journals.empty()) storage::sync_folder(folder);
    return folded;
}

}  // namespace tg::llm
