// matches.h5, made by `match`: the k task types nearest to each picture. N pictures (rows of pool.h5), T task types
// that were candidates (the leaves of taxonomy.h5).
//   type      i64 [N,k]   rows of taxonomy.h5, best first, equal scores by row; -1 where the picture is unusable
//   score     f32 [N,k]   their cosines; 0 where unusable
//   diagnostics/
//     type                       i64 [T]        the candidates' rows of taxonomy.h5, ascending
//     images_per_type            i64 [T]        pictures that have the type among their k
//     images_per_type_and_rank   i64 [T,k]      at each rank
//     types_matched              i64 [k]        types among the first 1, 2, ... k of some picture
//     score_histogram            i64 [k,200]    bins of 0.01 over [-1, 1], one row a rank
//   attributes   k, unmatched_types, unusable_images (i64); fingerprint
// A part holds the rows `type` and `score` of its pictures. Readers use HDF5: main thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "taskgalaxy/parallel/partition.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::run {

struct MatchRows {
    std::uint64_t images = 0, k = 0;
    std::vector<std::int64_t> type;  // [images,k]
    std::vector<float> score;        // [images,k]
};

struct MatchDiagnostics {
    static constexpr std::uint64_t score_bins = 200;
    std::uint64_t k = 0;
    std::vector<std::int64_t> type, images_per_type;     // [T]
    std::vector<std::int64_t> images_per_type_and_rank;  // [T,k]
    std::vector<std::int64_t> types_matched;             // [k]
    std::vector<std::int64_t> score_histogram;           // [k,score_bins]
    std::int64_t unmatched_types = 0, unusable_images = 0;
};

// Of one part, or of a whole file made by one process.
void write_matches(storage::Hdf5File& file, const MatchRows& rows);
// Of the whole file. Collective on files made together: every rank gives the same, one `writes`.
void write_match_diagnostics(storage::Hdf5File& file, const MatchDiagnostics& diagnostics, bool writes = true);

// matches.h5 or a part of it, opened.
class MatchTable {
public:
    // Throws StorageError where `type` is no matrix.
    explicit MatchTable(const std::filesystem::path& matches_h5);

    std::uint64_t images() const { return images_; }
    std::uint64_t k() const { return k_; }
    std::vector<std::int64_t> types(parallel::Slice images) const;  // [images,k]
    MatchRows rows() const;
    MatchDiagnostics diagnostics() const;

private:
    storage::Hdf5File file_;
    std::uint64_t images_ = 0, k_ = 0;
};

}  // namespace tg::run
