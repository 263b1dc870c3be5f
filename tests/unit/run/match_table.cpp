#include "taskgalaxy/run/match_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tables.hpp"

namespace tg::run {
namespace {

MatchRows some_rows(parallel::Slice images, std::uint64_t k) {
    MatchRows rows{images.size(), k, {}, {}};
    for (auto i = images.begin * k; i < images.end * k; ++i) {
        rows.type.push_back(static_cast<std::int64_t>(i * 7 % 31) - 1);
        rows.score.push_back(static_cast<float>(i % 13) / 16);
    }
    return rows;
}

class MatchTables : public ::testing::TestWithParam<std::uint64_t> {
protected:
    test::TemporaryFolder folder;
};

TEST_P(MatchTables, give_back_the_rows_of_all_parts_in_order) {
    const std::uint64_t k = 3;
    const MatchDiagnostics diagnostics{
        k, {4, 9}, {5, 0}, {3, 1, 1, 0, 0, 0}, {1, 1, 1}, std::vector<std::int64_t>(k * 200, 2), 1, 6};
    test::gather_in_parts(
        folder / files::matches, GetParam(),
        [&](parallel::Slice images, storage::Hdf5File& part) { write_matches(part, some_rows(images, k)); },
        [&](storage::Hdf5File& whole) { write_match_diagnostics(whole, diagnostics); });

    const MatchTable table(folder / files::matches);
    EXPECT_EQ(table.images(), GetParam());
    EXPECT_EQ(table.k(), k);
    const auto expected = some_rows({0, GetParam()}, k), read = table.rows();
    EXPECT_EQ(read.type, expected.type);
    EXPECT_EQ(read.score, expected.score);
    const parallel::Slice tail{GetParam() / 2, GetParam()};
    EXPECT_EQ(table.types(tail), some_rows(tail, k).type);

    const auto counted = table.diagnostics();
    EXPECT_EQ(counted.k, k);
    EXPECT_EQ(counted.type, diagnostics.type);
    EXPECT_EQ(counted.images_per_type, diagnostics.images_per_type);
    EXPECT_EQ(counted.images_per_type_and_rank, diagnostics.images_per_type_and_rank);
    EXPECT_EQ(counted.types_matched, diagnostics.types_matched);
    EXPECT_EQ(counted.score_histogram, diagnostics.score_histogram);
    EXPECT_EQ(counted.unmatched_types, 1);
    EXPECT_EQ(counted.unusable_images, 6);
}

INSTANTIATE_TEST_SUITE_P(rows, MatchTables, ::testing::Values(1, 5, 100));

TEST(match_table, of_no_picture_is_a_table_of_no_rows) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "m.h5", [](storage::Hdf5File& out) { write_matches(out, {0, 4, {}, {}}); });
    const MatchTable table(folder / "m.h5");
    EXPECT_EQ(table.images(), 0u);
    EXPECT_EQ(table.k(), 4u);
    EXPECT_TRUE(table.rows().type.empty());
}

TEST(match_table, says_which_dataset_is_missing_or_of_another_kind) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "flat.h5", [](storage::Hdf5File& out) { out.write("type", std::vector{1L}); });
    EXPECT_EQ(
        test::storage_error([&] { MatchTable(folder / "flat.h5"); }),
        (folder / "flat.h5").string() + ": 'type' has 1 dimensions instead of 2; make it again with --redo match");
    const std::uint64_t shape[] = {1, 1};
    storage::publish_hdf5(folder / "half.h5", [&](storage::Hdf5File& out) {
        out.write("type", std::span<const std::int64_t>(std::vector<std::int64_t>{1}), shape);
    });
    EXPECT_THAT(test::storage_error([&] { MatchTable(folder / "half.h5").rows(); }),
                test::NamesFileAndDataset(folder / "half.h5", "score"));
    storage::publish_hdf5(folder / "typed.h5", [&](storage::Hdf5File& out) {
        out.write("type", std::span<const float>(std::vector<float>{1}), shape);
        out.write("score", std::span<const float>(std::vector<float>{1}), shape);
    });
    EXPECT_THAT(test::storage_error([&] { MatchTable(folder / "typed.h5").rows(); }),
                test::NamesFileAndDataset(folder / "typed.h5", "type"));
}

}  // namespace
}  // namespace tg::run
