// Every answer that was paid for, found again by its key: the journals of the run directory, and what is folded of
// them, behind an index in memory of 32 to 64 bytes a record. Texts stay on disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "answer_record.hpp"
#include "folded_answers.hpp"
#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/storage/journal.hpp"

namespace tg::llm {

class AnswerJournal {
public:
    // Indexes all that is in `folder` and opens a new journal for this rank. With `keep_failures`, failures of earlier
    // runs are found too; else they are as if never asked.
    AnswerJournal(const std::filesystem::path& folder, int rank, std::chrono::milliseconds group_time,
                  bool keep_failures);
    ~AnswerJournal();
    AnswerJournal(const AnswerJournal&) = delete;
    AnswerJournal& operator=(const AnswerJournal&) = delete;

    bool has(const Digest& key) const;
    std::optional<AnswerRecord> find(const Digest& key) const;
    // The record can be found at once; `on_durable` is called from the journal's thread when it is on disk.
    void append(const Digest& key, const AnswerRecord& record, std::function<void()> on_durable);
    void commit() { writer_.commit(); }

    // What earlier runs paid.
    const PaidByEndpointAndStage& paid_before() const { return paid_before_; }
    std::uint64_t size() const { return used_; }

private:
    struct Slot {
        Digest key;
        std::uint64_t place = 0;  // file number << 40 | offset of the frame (in a folded file: the row) + 1; 0: free
    };
    std::size_t slot_of(const Digest& key) const;  // where it is, or the free slot where it would be
    void remember(const Digest& key, std::uint64_t place);
    void index(const Digest& key, const AnswerRecord& record, std::size_t file, std::uint64_t place);
    int opened(std::size_t file) const;
    const FoldedAnswers& unfolded(std::size_t file) const;
    std::optional<AnswerRecord> read_frame(std::size_t file, std::uint64_t frame) const;

    std::vector<Slot> slots_;
    std::uint64_t used_ = 0;
    std::vector<std::filesystem::path> files_;  // the own, new file comes last
    std::size_t folded_count_ = 0;              // the first so many of them are folded
    mutable std::map<std::size_t, int> open_;
    mutable std::list<std::pair<std::size_t, FoldedAnswers>> unfolded_;  // the last used of them, most recent first
    PaidByEndpointAndStage paid_before_;
    bool keep_failures_;
    std::uint64_t own_bytes_ = 0;
    storage::JournalWriter writer_;
};

}  // namespace tg::llm
