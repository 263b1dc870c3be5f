// Journals of processes that ended, folded into HDF5: files JOURNAL.NNNNNN.h5 of some thousand answers each, one row an
// answer, columns that h5py or h5dump read. Nothing is left out. A file is never changed, and says up to which byte of
// its journal it goes, so that a fold that was killed goes on; a journal that is folded whole is removed, and its name
// is not used again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "answer_record.hpp"
#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::llm {

// One such file in memory (some MiB).
class FoldedAnswers {
public:
    explicit FoldedAnswers(const std::filesystem::path& path);

    std::size_t size() const { return outcome_.size(); }
    Digest key(std::size_t row) const;
    AnswerRecord record(std::size_t row) const;

private:
    std::vector<std::uint8_t> key_, outcome_;
    std::vector<std::int32_t> tries_, status_;
    std::vector<std::int64_t> tokens_in_, tokens_out_;
    std::vector<double> usd_;
    std::vector<storage::TextColumn> texts_;
};

// How much of `journal` is folded, in bytes.
std::uint64_t folded_bytes(const std::filesystem::path& journal);

}  // namespace tg::llm
