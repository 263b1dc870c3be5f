// Which samples enter a dataset: by screening, by how frequent their type is, by number. Pure functions of content and seed, so that
// the same samples are chosen whatever was asked first and on how many ranks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/dataset/settings.hpp"

namespace tg {

// Frequency bands of task types (TaskGalaxy, arXiv 2502.09925): how many kept samples a type has.
struct Band {
    std::string_view name;
    std::uint64_t least, most;
};
std::vector<Band> sample_bands();  // 1-10, 11-50, 51-100, over-100
// The band of a type with `samples` > 0 samples.
std::string_view band_of(std::uint64_t samples);

// A sample as selection sees it: its type and the digest that says who it is.
struct Candidate {
    std::size_t row = 0;
    std::int64_t type = 0;
    Digest identity;
};

// Rows to export, ascending. Counts per type (bands) are those of `candidates`.
std::vector<std::size_t> select_samples(const std::vector<Candidate>& candidates, const ExportSettings& settings);

}  // namespace tg
