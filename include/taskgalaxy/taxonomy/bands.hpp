// Task types by how many kept samples they have: the bands of TaskGalaxy's ablation (arXiv 2502.09925).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tg::taxonomy {

struct Band {
    std::string_view name;
    std::uint64_t least, most;
};
std::vector<Band> sample_bands();  // 1-10, 11-50, 51-100, over-100
// The band of a type with `samples` > 0 samples.
std::string_view band_of(std::uint64_t samples);

}  // namespace tg::taxonomy
