#include "fits.hpp"

#include <gtest/gtest.h>

namespace tg::study {
namespace {

TEST(fit_amdahl, finds_the_fraction_that_made_the_times) {
    std::map<int, double> seconds;
    for (const int p : {1, 2, 4, 8}) seconds[p] = 2 + 6.0 / p;
    const auto fit = fit_amdahl(seconds);
    EXPECT_NEAR(fit.serial, 2, 1e-9);
    EXPECT_NEAR(fit.fraction(), 0.75, 1e-9);
    EXPECT_NEAR(fit.at(16), 2.375, 1e-9);
}

TEST(fit_amdahl, times_that_grow_with_ranks_have_no_parallel_part) {
    EXPECT_EQ(fit_amdahl({{1, 1.0}, {2, 2.0}, {4, 4.0}}).fraction(), 0);
}

TEST(fit_per_rank, parts_what_is_there_once_from_what_each_rank_adds) {
    const auto fit = fit_per_rank({{1, 110}, {2, 120}, {4, 140}});
    EXPECT_NEAR(fit.base, 100, 1e-9);
    EXPECT_NEAR(fit.each, 10, 1e-9);
}

TEST(gustafson_serial, is_zero_for_constant_and_one_for_proportional_times) {
    EXPECT_NEAR(gustafson_serial({{1, 3.0}, {2, 3.0}, {4, 3.0}}), 0, 1e-12);
    EXPECT_NEAR(gustafson_serial({{1, 3.0}, {2, 6.0}, {4, 12.0}}), 1, 1e-12);
}

TEST(model_phase, splits_compute_pays_latency_by_the_logarithm_and_files_in_common) {
    ScalingSettings machine;
    machine.latency_us = 10, machine.link_gb_per_s = 1, machine.file_operations_per_s = 100, machine.file_gb_per_s = 1;
    std::map<int, run::CostRow> medians;
    for (const int p : {1, 2, 4})
        medians[p] = {p,   "s", "embed", 1,  8.0 / p + 1.0 + 0.5, 100, 0,
                      1.0, 50,  0,       0.5};  // 8/p of its own, 1 s waiting, 0.5 s in files
    const auto points = model_phase(medians, 10, 2, machine);
    ASSERT_EQ(points.size(), 13u);
    EXPECT_EQ(points.back().ranks, 4096);
    EXPECT_NEAR(points[0].compute, 80, 1e-6);
    EXPECT_NEAR(points[0].communication, 0, 1e-12);
    EXPECT_NEAR(points[3].compute, 10, 1e-6);
    EXPECT_NEAR(points[3].communication, 3 * 100 * 10e-6, 1e-9)
        << "every rank calls 100 collectives whatever the count: they do not grow with parts";
    EXPECT_NEAR(points[3].files, 2 * 50 / 100.0, 1e-6);
}

}  // namespace
}  // namespace tg::study
