// How measured times go with the number of ranks, and what that says of more of them.
#pragma once

#include <map>
#include <vector>

#include "taskgalaxy/run/cost_log.hpp"
#include "taskgalaxy/study/scaling.hpp"

namespace tg::study {

// t(p) = serial + parallel / p, fitted by least squares with neither below zero.
struct Amdahl {
    double serial = 0, parallel = 0;
    double fraction() const { return serial + parallel > 0 ? parallel / (serial + parallel) : 0; }
    double at(double ranks) const { return serial + parallel / ranks; }
};
Amdahl fit_amdahl(const std::map<int, double>& seconds);
// total(p) = base + each * p, likewise.
struct PerRank {
    double base = 0, each = 0;
    double at(double ranks) const { return base + each * ranks; }
};
PerRank fit_per_rank(const std::map<int, double>& totals);
// Gustafson's scaled speed-up of weak scaling, p - s (p - 1): the serial fraction s.
double gustafson_serial(const std::map<int, double>& seconds);

constexpr int most_modelled_ranks = 4096;  // that the model goes to, from 1, by doubling

struct ModelPoint {
    int ranks = 0;
    double compute = 0, communication = 0, files = 0;  // seconds
    double total() const { return compute + communication + files; }
};
// From the strong runs' medians of one phase (per rank count). `growth`: how many times the measured pictures the
// modelled run has, and `part_growth` how many times the parts; 1 for a phase that grows with neither.
std::vector<ModelPoint> model_phase(const std::map<int, run::CostRow>& medians, double growth, double part_growth,
                                    const ScalingSettings& settings);

}  // namespace tg::study
