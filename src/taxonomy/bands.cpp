#include "taskgalaxy/taxonomy/bands.hpp"

#include <limits>

namespace tg::taxonomy {

std::vector<Band> sample_bands() {
    return {{"1-10", 1, 10},
            {"11-50", 11, 50},
            {"51-100", 51, 100},
            {"over-100", 101, std::numeric_limits<std::uint64_t>::max()}};
}

std::string_view band_of(std::uint64_t samples) {
    for (const auto& band : sample_bands())
        if (samples >= band.least && samples <= band.most) return band.name;
    return {};
}

}  // namespace tg::taxonomy
