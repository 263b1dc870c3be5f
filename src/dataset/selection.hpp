// Which samples enter a dataset: by screening, by how frequent their type is, by number. Pure functions of content and
// seed, so that the same samples are chosen whatever was asked first and on how many ranks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/dataset/settings.hpp"

namespace tg::dataset {

// A sample as selection sees it: its type and the digest that says who it is.
struct Candidate {
    std::size_t row = 0;
    std::int64_t type = 0;
    Digest identity;
};

// Rows to export, ascending. Counts per type (bands) are those of `candidates`.
std::vector<std::size_t> select_samples(const std::vector<Candidate>& candidates, const ExportSettings& settings);

}  // namespace tg::dataset
