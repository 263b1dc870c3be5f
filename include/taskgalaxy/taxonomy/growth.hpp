// How a tree of task types grew: what `expand` leaves in taxonomy.h5 beside the tree (taxonomy.hpp).
//   near_duplicates/   texts dropped, kept; f32 cosine: what was dropped, and for what
//   nearest_pairs/     texts a, b; f32 cosine: the nearest that stayed
//   attributes         given, requests, failed, exact_duplicates, near_duplicates (i64); rounds_levelL,
//                      parents_exhausted_levelL (i64, L = 1..3); answers_NAME (i64): answers that were forgiven or
//                      dropped for NAME; fingerprint
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/taxonomy/duplicates.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::taxonomy {

struct Growth {
    std::int64_t requests = 0, failed = 0;
    std::int64_t given = 0;  // paths from seeds and files
    std::int64_t exact_duplicates = 0;
    std::array<std::int64_t, 3> exhausted{};  // parents that had nothing new, by the level asked for
    std::array<std::int64_t, 3> rounds{};
    std::vector<DuplicateFilter::Pair> dropped, nearest;
    std::vector<std::pair<std::string, std::int64_t>> answers;  // by what was forgiven or dropped
};

// The whole file; one process writes it.
void write_grown(const std::filesystem::path& taxonomy_h5, const Taxonomy& taxonomy, const Growth& growth,
                 const std::string& fingerprint);

}  // namespace tg::taxonomy
