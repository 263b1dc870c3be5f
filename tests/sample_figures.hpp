// Figures of a samples.h5 made by hand: nothing counted, of the right shapes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/run/sample_table.hpp"

namespace tg::test {

inline run::SampleFigures sample_figures(std::vector<std::string> judges) {
    const auto j = judges.size();
    return {.image_states = std::vector<std::int64_t>(5),
            .sample_states = std::vector<std::int64_t>(4),
            .votes_for = std::vector<std::int64_t>(j + 1),
            .judge_votes = std::vector<std::int64_t>(3 * j),
            .agreement = std::vector<double>(j * j),
            .judges = std::move(judges)};
}

}  // namespace tg::test
