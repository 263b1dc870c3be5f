// samples.h5 opened: one row a sample that refinement kept, ordered by (image, candidate rank). Texts are looked up in
// place: 600,000 samples cost their bytes once. The constructor reads HDF5 (main thread); the const members may be
// called from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::run {

class SampleTable {
public:
    static constexpr std::uint8_t vote_missing = 255;

    // Throws StorageError when the columns disagree in length.
    explicit SampleTable(const std::filesystem::path& samples_h5);

    std::size_t size() const { return image_.size(); }
    std::int64_t image(std::size_t row) const { return image_[row]; }  // row of pool.h5
    std::int64_t type(std::size_t row) const { return type_[row]; }    // row of taxonomy.h5
    std::string_view question(std::size_t row) const { return question_[row]; }
    std::string_view answer(std::size_t row) const { return answer_[row]; }
    bool kept(std::size_t row) const { return kept_[row] != 0; }
    std::uint8_t state(std::size_t row) const {
        return state_[row];
    }  // 0: generated and judged; see curation/curate_stage.hpp
    std::span<const std::uint8_t> votes(std::size_t row) const {
        return std::span(votes_).subspan(row * judges_.size(), judges_.size());
    }
    const std::vector<std::string>& judges() const { return judges_; }

private:
    std::vector<std::int64_t> image_, type_;
    std::vector<std::uint8_t> kept_, state_, votes_;
    storage::TextColumn question_, answer_;
    std::vector<std::string> judges_;
};

}  // namespace tg::run
