#include "taskgalaxy/run/cost_log.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg::run {

TEST(cost_log, gives_back_what_was_logged_and_names_a_broken_line) {
    const test::TemporaryFolder folder;
    const auto csv = folder / "costs.csv";
    EXPECT_TRUE(read_costs(csv).empty());
    const auto solo = parallel::make_solo();
    take_phase_costs();
    {
        const CostPhase phase("gather");
        const CountedFileWork work(64, 2);
    }
    log_costs(*solo, csv, "match", {0, 1.25, 3, 30, 0.5, 7, 70, 0.25});
    log_costs(*solo, csv, "train", {});
    const auto rows = read_costs(csv);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].phase, "gather");
    EXPECT_EQ(rows[0].file_bytes, 64);
    EXPECT_EQ(rows[1].stage, "match");
    EXPECT_EQ(rows[1].phase, "total");
    EXPECT_DOUBLE_EQ(rows[1].seconds, 1.25);
    EXPECT_EQ(rows[1].file_operations, 7);
    std::ofstream(csv, std::ios::app) << "2,match,total\n";
    EXPECT_THROW(read_costs(csv), StorageError);
}

}  // namespace tg::run
