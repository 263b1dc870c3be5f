// Every answer that was paid for, found again by its key: the journal files of the run directory behind an index in memory of
// 32 to 64 bytes a record. Texts stay on disk. A record is one line of JSON (who, what, how much) and the raw answer behind it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/storage/journal.hpp"

namespace tg {

struct AnswerRecord {
    enum class Outcome {
        answered,
        failed,    // given up; `kind` and `detail` say why
        unusable,  // paid, but asked again: counts for the cost alone
    };
    Outcome outcome = Outcome::answered;
    std::string stage, item, endpoint, model;
    int tries = 1;
    std::int64_t tokens_in = 0, tokens_out = 0;
    std::optional<double> usd{};  // unknown price: none
    std::string kind, detail, request_id;
    long status = 0;
    std::string text;
};

class AnswerJournal {
public:
    // Indexes all *.journal files of `folder` and opens a new one for this rank. With `keep_failures`, failures of earlier runs are
    // found too; else they are as if never asked.
    AnswerJournal(const std::filesystem::path& folder, int rank, std::chrono::milliseconds group_time, bool keep_failures);
    ~AnswerJournal();
    AnswerJournal(const AnswerJournal&) = delete;
    AnswerJournal& operator=(const AnswerJournal&) = delete;

    bool has(const Digest& key) const;
    std::optional<AnswerRecord> find(const Digest& key) const;
    // The record can be found at once; `on_durable` is called from the journal's thread when it is on disk.
    void append(const Digest& key, const AnswerRecord& record, std::function<void()> on_durable);
    void commit() { writer_.commit(); }

    // What earlier runs paid, by endpoint and stage.
    struct Paid {
        std::int64_t tokens_in = 0, tokens_out = 0;
        double usd = 0;
        bool price_known = true;
    };
    const std::map<std::pair<std::string, std::string>, Paid>& paid_before() const { return paid_before_; }
    std::uint64_t size() const { return used_; }

private:
    struct Slot {
        Digest key;
        std::uint64_t place = 0;  // file number << 40 | offset of the frame + 1; 0: free
    };
    std::size_t slot_of(const Digest& key) const;  // where it is, or the free slot where it would be
    void remember(const Digest& key, std::uint64_t place);
    int opened(std::size_t file) const;

    std::vector<Slot> slots_;
    std::uint64_t used_ = 0;
    std::vector<std::filesystem::path> files_;  // the own, new file comes last
    mutable std::map<std::size_t, int> open_;
    std::map<std::pair<std::string, std::string>, Paid> paid_before_;
    bool keep_failures_;
    std::uint64_t own_bytes_ = 0;
    JournalWriter writer_;
};

}  // namespace tg
