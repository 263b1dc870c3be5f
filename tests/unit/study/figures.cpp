#include "figures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg::study {
namespace {

using testing::HasSubstr;
using testing::Not;

ScalingRow row(const std::string& mode, int ranks, const std::string& phase, double seconds) {
    return {mode,
            1,
            {.ranks = ranks,
             .phase = phase,
             .calls = 1,
             .seconds = seconds,
             .collectives = 7,
             .collective_s = seconds / 4}};
}

TEST(table_of, tells_efficiency_against_the_fewest_ranks) {
    const auto strong =
        table_of({row("strong", 1, "match", 8), row("strong", 4, "match", 4), row("strong", 4, "match", 2)}, "strong");
    EXPECT_THAT(strong, HasSubstr("| match | 1 | 8.000 (8.000–8.000) | 100 % | 25 % | 0 % | 7 | 0 | 0 |"));
    EXPECT_THAT(strong, HasSubstr("| match | 4 | 3.000 (2.000–4.000) | 67 % |"));
    EXPECT_THAT(strong, Not(HasSubstr("embed"))) << "which was not measured";
    const auto weak = table_of({row("weak", 1, "match", 8), row("weak", 4, "match", 10)}, "weak");
    EXPECT_THAT(weak, HasSubstr("| match | 4 | 10.000 (10.000–10.000) | 80 % |"));
}

TEST(fits_of, needs_two_rank_counts_of_both_modes) {
    std::vector<ScalingRow> rows{row("strong", 1, "match", 8), row("strong", 2, "match", 4),
                                 row("weak", 1, "match", 8)};
    EXPECT_THAT(fits_of(rows), Not(HasSubstr("match")));
    rows.push_back(row("weak", 2, "match", 8));
    EXPECT_THAT(fits_of(rows), HasSubstr("| match | 1.000 | 0.000 |"));
}

TEST(model, tells_where_a_phase_stops_gaining_and_why) {
    const test::TemporaryFolder folder;
    ScalingSettings settings;
    settings.folder = folder.path();
    // A step is shared out; so is a read, but for its files, which take 2 s on any rank count; a write is not.
    std::vector<ScalingRow> rows;
    for (const int p : {1, 2, 4}) {
        rows.push_back({"strong", 1, {.ranks = p, .phase = "training step", .seconds = 8.0 / p}});
        rows.push_back(
            {"strong", 1, {.ranks = p, .phase = "checkpoint read", .seconds = 8.0 / p, .file_operations = 20'000}});
        rows.push_back({"strong", 1, {.ranks = p, .phase = "checkpoint write", .seconds = 8.0}});
    }
    const auto table = model(settings, rows);
    EXPECT_THAT(table, HasSubstr("| training step | 8.00 | 4096 | 0.002 | nothing up to 4,096 |"));
    EXPECT_THAT(table, HasSubstr("| checkpoint write | 8.00 | 1 | 8.000 | its serial part |"));
    EXPECT_THAT(table, HasSubstr("| checkpoint read | 10.00 | 64 | 2.125 | files |"));
    EXPECT_THAT(read_text_file(folder / "model.csv"),
                HasSubstr("training step,4096,0.001953,0.001953,0.000000,0.000000"));
    EXPECT_THAT(read_text_file(folder / "model.svg"), HasSubstr("Model: 800000 pictures"));
}

}  // namespace
}  // namespace tg::study
