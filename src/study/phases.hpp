// What was measured, by phase: the rows of the runs' cost logs that a study compares over rank counts.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/run/cost_log.hpp"

namespace tg::study {

inline constexpr std::array modes{"strong", "weak"};
inline constexpr std::array phase_names{"ingest",           "embed",          "match", "gather", "training step",
                                        "checkpoint write", "checkpoint read"};

// One phase of one measured run. A training step and a checkpoint's writing and reading are a mean over their calls.
struct ScalingRow {
    std::string mode;  // "strong" or "weak"
    int repeat = 0;
    run::CostRow cost;  // phase is one of phase_names
};

// Of the cost log of one run; lives of one stage add up. Phases that were not measured are left out.
std::vector<ScalingRow> phases_of(const std::string& mode, int repeat, const std::vector<run::CostRow>& costs);

// A phase that is a mean over calls does not grow with the pictures.
bool grows(const std::string& phase);

// Of each rank count the median over the repeats, column by column.
std::map<int, run::CostRow> medians_of(const std::vector<ScalingRow>& rows, const std::string& mode,
                                       const std::string& phase);

// One column of them.
template <class Number>
std::map<int, double> values_of(const std::map<int, run::CostRow>& rows, Number run::CostRow::*column) {
    std::map<int, double> out;
    for (const auto& [ranks, row] : rows) out[ranks] = static_cast<double>(row.*column);
    return out;
}

}  // namespace tg::study
