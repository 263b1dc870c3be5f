#include "schedule.hpp"

#include <gtest/gtest.h>

#include "fixture.hpp"

namespace {

TEST(Schedule, warms_up_from_zero_and_falls_to_zero) {
    const tg::training::Schedule schedule{2e-5, 0.03, 5198};
    EXPECT_EQ(schedule.warmup_steps(), 156);
    EXPECT_EQ(schedule.rate(0), 0);
    EXPECT_NEAR(schedule.rate(1), 1.28e-7, 1e-9);
    EXPECT_EQ(schedule.rate(156), 2e-5);
    EXPECT_NEAR(schedule.rate(5197), 0, 1e-11);
}

TEST(Schedule, is_the_one_of_the_reference) {
    const auto rates = tg::fixture::expected("sft.lr");
    const tg::training::Schedule schedule{2e-3, 0.15, 20};
    for (std::int64_t step = 0; step < 20; ++step) EXPECT_NEAR(schedule.rate(step), rates[step].item<double>(), 1e-15);
}

TEST(Schedule, stays_at_the_peak_where_the_job_says_constant) {
    const tg::training::Schedule schedule{1e-3, 0.1, 100, tg::training::RateSchedule::constant};
    EXPECT_EQ(schedule.rate(5), 5e-4);
    EXPECT_EQ(schedule.rate(10), 1e-3);
    EXPECT_EQ(schedule.rate(99), 1e-3);
}

}  // namespace
