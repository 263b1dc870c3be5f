// samples.h5, made by `curate`. N pictures (rows of pool.h5) with k candidates each, S samples, J judges, L task types
// of level 1.
//   one row a sample that refinement kept, ordered by (image, candidate rank):
//     image      i64 [S]     row of pool.h5
//     type       i64 [S]     row of taxonomy.h5
//     question, answer       texts
//     votes      u8 [S,J]    0, 1 or no_vote
//     kept       u8 [S]
//     state      u8 [S]      SampleState
//   refine/state   u8 [N]    ImageState
//   refine/kept    u8 [N,k]  1 where the candidate fits
//   figures/
//     image_states i64 [5], sample_states i64 [4]   how many of each state
//     votes_for      i64 [J+1]      samples that every judge voted on, by votes of 1
//     judge_votes    i64 [J,3]      0, 1, missing
//     agreement      f64 [J,J]      share of the samples on which both voted and said the same
//     level1/name texts, level1/counts i64 [L,4]   pictures, None, candidates offered, kept
//     notes/name texts, notes/counts i64 [3,notes] what the parsers forgave or dropped: refine, generate, screen
//   attributes   judges (with ", " between), none_rate, kept_rate, fleiss_kappa (f64), kept (i64), format,
//                keep_votes, limit_items (i64); fingerprint
// A part holds its rows of everything but `figures`, and part/notes i64 [1,3*notes], which stays in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::run {

enum class ImageState : std::uint8_t { kept_some = 0, none = 1, failed = 2, unusable = 3, not_asked = 4 };
enum class SampleState : std::uint8_t { fine = 0, generation_failed = 1, judging_failed = 2, left_out = 3 };
inline constexpr std::uint8_t no_vote = 255;

// What refinement left of the pictures.
struct RefineRows {
    std::uint64_t k = 0;
    std::vector<std::uint8_t> state;  // [N], ImageState
    std::vector<std::uint8_t> kept;   // [N,k]
};

struct SampleRows {
    std::uint64_t judges = 0;
    std::vector<std::int64_t> image, type;  // [S]
    std::vector<std::string> question, answer;
    std::vector<std::uint8_t> votes;        // [S,judges]
    std::vector<std::uint8_t> kept, state;  // [S]
};

// Of one part, or of a whole file made by one process. `notes`: its row of part/notes.
void write_samples(storage::Hdf5File& file, const SampleRows& samples, const RefineRows& refined,
                   const std::vector<std::int64_t>& notes);

struct SampleFigures {
    std::vector<std::int64_t> image_states, sample_states, votes_for, judge_votes;
    std::vector<double> agreement;
    std::vector<std::string> level1;
    std::vector<std::int64_t> level1_counts;
    std::vector<std::string> notes;
    std::vector<std::int64_t> note_counts;
    std::vector<std::string> judges;
    double none_rate = 0, kept_rate = 0, fleiss_kappa = 0;
    std::int64_t kept = 0;
    int keep_votes = 0, limit_items = 0;  // as the settings said
};

// Of the whole file. Collective on files made together: every rank gives the same, one `writes`.
void write_sample_figures(storage::Hdf5File& file, const SampleFigures& figures, bool writes = true);

// What the figures are counted from, without the texts.
struct SampleMarks {
    RefineRows refined;
    std::vector<std::uint8_t> state, kept, votes;
    std::vector<std::int64_t> notes;
};
SampleMarks read_sample_marks(const std::filesystem::path& part);
RefineRows read_refined(const std::filesystem::path& samples_h5);
// figures/image_states: how many pictures came to each ImageState.
std::vector<std::int64_t> read_image_states(const std::filesystem::path& samples_h5);

// The samples, opened. Texts are looked up in place: 600,000 samples cost their bytes once. The constructor reads HDF5
// (main thread); the const members may be called from any thread.
class SampleTable {
public:
    // Throws StorageError when the columns disagree in length.
    explicit SampleTable(const std::filesystem::path& samples_h5);

    std::size_t size() const { return image_.size(); }
    std::int64_t image(std::size_t row) const { return image_[row]; }
    std::int64_t type(std::size_t row) const { return type_[row]; }
    std::string_view question(std::size_t row) const { return question_[row]; }
    std::string_view answer(std::size_t row) const { return answer_[row]; }
    bool kept(std::size_t row) const { return kept_[row] != 0; }
    std::uint8_t state(std::size_t row) const { return state_[row]; }
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
