#include "taskgalaxy/core/costs.hpp"

#include <gtest/gtest.h>

namespace tg {
namespace {

TEST(costs, a_phase_counts_what_happens_in_it_and_nothing_else) {
    take_phase_costs();
    { const CountedFileWork outside(1000); }
    for (int i = 0; i < 2; ++i) {
        const CostPhase phase("save");
        { const CountedFileWork work(10, 3); }
        const CountedCollective collective(7);
    }
    const auto phases = take_phase_costs();
    ASSERT_EQ(phases.size(), 1u);
    const auto& save = phases.at("save");
    EXPECT_EQ(save.calls, 2);
    EXPECT_EQ(save.file_operations, 6);
    EXPECT_EQ(save.file_bytes, 20);
    EXPECT_EQ(save.collectives, 2);
    EXPECT_EQ(save.collective_bytes, 14);
    EXPECT_TRUE(take_phase_costs().empty()) << "taking forgets";
}

TEST(costs, an_inner_phase_counts_in_the_outer_one_too) {
    take_phase_costs();
    {
        const CostPhase outer("outer");
        const CostPhase inner("inner");
        const CountedFileWork work(5);
    }
    auto phases = take_phase_costs();
    EXPECT_EQ(phases["outer"].file_bytes, 5);
    EXPECT_EQ(phases["inner"].file_bytes, 5);
}

}  // namespace
}  // namespace tg
