// Steps that must not be learnt from: a loss or gradient norm that is no number, or that is many times what it was.
// Decides from sums over all ranks and from the log alone, so every rank decides the same, and a run that goes on
// decides as one that never stopped.
#pragma once

#include <deque>
#include <vector>

#include "taskgalaxy/training/settings.hpp"
#include "training_log.hpp"

namespace tg::training {

struct GuardOptions {
    StepVerdict on_nan = StepVerdict::stop, on_spike = StepVerdict::skip;
    double spike = 0;  // times the median of the last steps, of loss or of gradient norm; 0: never
};

class StepGuard {
public:
    static constexpr std::size_t window = 64, least = 16;  // steps the median is of, at most and at least

    // `log`: the steps done so far.
    StepGuard(const GuardOptions& options, const std::vector<LogRow>& log);
    StepVerdict judge(double loss, double gradient_norm) const;
    void add(const LogRow& row);  // after each step

private:
    static double median(const std::deque<double>& values);
    GuardOptions options_;
    std::deque<double> losses_, norms_;  // of steps that were learnt from
};

}  // namespace tg::training
