// The learning rate of each step: linear warm-up from zero, then half a cosine to zero (transformers'
// get_cosine_schedule_with_warmup), or the peak until the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "taskgalaxy/training/settings.hpp"

namespace tg::training {

struct Schedule {
    double peak = 2e-5, warmup_ratio = 0.03;
    std::int64_t steps = 1;
    RateSchedule kind = RateSchedule::cosine;

    std::int64_t warmup_steps() const {
        return static_cast<std::int64_t>(std::ceil(warmup_ratio * static_cast<double>(steps)));
    }
    // `step` from 0; step 0 has rate 0 where there is a warm-up.
    double rate(std::int64_t step) const {
        const auto warmup = warmup_steps();
        if (step < warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
        if (kind == RateSchedule::constant) return peak;
        const auto share =
            static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, steps - warmup));
        return peak * 0.5 * (1 + std::cos(std::numbers::pi * share));
    }
};

}  // namespace tg::training
