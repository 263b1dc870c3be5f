#include "phases.hpp"

#include <gtest/gtest.h>

namespace tg::study {
namespace {

TEST(phases_of, takes_the_gather_out_of_its_stages_and_means_over_steps) {
    const std::vector<run::CostRow> costs{{2, "embed_images", "gather", 1, 1.0, 10, 100, 0.2, 5, 50, 0.1},
                                          {2, "embed_images", "total", 1, 4.0, 15, 150, 0.5, 9, 90, 0.3},
                                          {2, "train", "step", 2, 3.0, 8, 80, 1.0, 0, 0, 0},
                                          {2, "train", "step", 4, 6.0, 16, 160, 2.0, 0, 0, 0}};  // two lives
    const auto rows = phases_of("strong", 1, costs);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].cost.phase, "embed");
    EXPECT_DOUBLE_EQ(rows[0].cost.seconds, 3.0);
    EXPECT_EQ(rows[0].cost.file_operations, 4);
    EXPECT_EQ(rows[1].cost.phase, "gather");
    EXPECT_EQ(rows[1].cost.collectives, 10);
    EXPECT_EQ(rows[2].cost.phase, "training step");
    EXPECT_DOUBLE_EQ(rows[2].cost.seconds, 1.5);
    EXPECT_EQ(rows[2].cost.collective_bytes, 40);
}

TEST(medians_of, takes_the_middle_of_the_repeats_of_each_rank_count) {
    std::vector<ScalingRow> rows;
    for (const double seconds : {3.0, 1.0, 2.0})
        rows.push_back({"strong", 1, {.ranks = 2, .phase = "match", .seconds = seconds}});
    for (const double seconds : {1.0, 2.0})
        rows.push_back({"strong", 1, {.ranks = 4, .phase = "match", .seconds = seconds}});
    rows.push_back({"weak", 1, {.ranks = 2, .phase = "match", .seconds = 9}});
    rows.push_back({"strong", 1, {.ranks = 2, .phase = "embed", .seconds = 9}});
    const auto seconds = values_of(medians_of(rows, "strong", "match"), &run::CostRow::seconds);
    EXPECT_EQ(seconds, (std::map<int, double>{{2, 2.0}, {4, 1.5}}));
}

}  // namespace
}  // namespace tg::study
