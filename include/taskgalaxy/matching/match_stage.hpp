// The stage `match`: the k task types nearest to each picture by cosine, exactly. Writes matches.h5:
//   i64 type [N, k] (rows of taxonomy.h5, best first; -1 where the picture is unusable), f32 score [N, k];
//   diagnostics/type i64 [T] (rows of taxonomy.h5 that the next two speak of), diagnostics/images_per_type i64 [T] (how
//   many pictures have the type among their k), diagnostics/images_per_type_and_rank i64 [T, k];
//   diagnostics/types_matched i64 [k] (types that some picture has among its first 1, 2, ... k);
//   diagnostics/score_histogram i64 [k, 200] (bins of 0.01 from -1 to 1, a row a rank of the candidate); attributes k,
//   unmatched_types, unusable_images.
// The same bits for any number of ranks and threads: scores are double sums in a fixed order, ties go to the lower row.
#pragma once

#include <memory>

#include "taskgalaxy/matching/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::matching {

std::unique_ptr<run::Stage> make_match_stage(const MatchSettings& settings);

}  // namespace tg::matching
