// How far the candidates of pictures agree: between k = 5, 10, 20 of one run, and between two runs with different
// embedders. Pictures are found by their uri and task types by their path, so the runs may list them in another order.
// One process; no stage of the pipeline.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "taskgalaxy/run/stage.hpp"

namespace tg::report {

struct MatchOverlap {
    struct Depth {
        std::uint64_t k = 0, types_matched = 0;  // types among the first k of some picture
        double images_per_type = 0;              // mean over those types
        double mean_score = 0;                   // of the k-th candidate
    };
    std::uint64_t pictures = 0;               // usable in both runs
    std::uint64_t types = 0;                  // leaves that the second run's pictures were matched with
    std::vector<std::uint64_t> depths;        // of the rows and columns of `shared`
    std::vector<Depth> first, second;         // second: empty where there is one run only
    std::vector<std::vector<double>> shared;  // [i][j]: mean share of a picture's first depths[i] types (first run)
                                              // that are among its first depths[j] (second run)
    double same_best = 0;                     // share of pictures whose best type is the same
};

// Depths beyond the runs' k are left out. Throws InputError: a run without matches.h5, or runs that share no picture.
MatchOverlap match_overlap(const run::Paths& first, const run::Paths& second, std::vector<std::uint64_t> depths);
std::string overlap_text(const MatchOverlap& overlap);  // for a terminal

}  // namespace tg::report
