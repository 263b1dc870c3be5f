#include "taskgalaxy/report/overlap.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"
#include "temporary_folder.hpp"

namespace tg::report {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A run as far as `match`: pictures by name, each with its types by path; no types: unusable.
struct Picture {
    std::string uri;
    std::vector<std::string> types;
};
void write_run(const run::Paths& paths, const std::vector<std::string>& taxonomy, const std::vector<Picture>& pictures,
               std::uint64_t k) {
    std::filesystem::create_directories(paths.root());
    const taxonomy::Taxonomy tree(taxonomy);
    storage::publish_hdf5(paths.file(run::files::taxonomy), [&](storage::Hdf5File& out) { tree.write(out); });
    std::vector<pool::ListedPicture> listed;
    run::MatchRows matches{pictures.size(), k, {}, {}};
    for (const auto& picture : pictures) {
        listed.push_back({picture.uri});
        for (std::uint64_t rank = 0; rank < k; ++rank) {
            matches.type.push_back(
                picture.types.empty() ? -1 : static_cast<std::int64_t>(tree.find(picture.types[rank]).value()));
            matches.score.push_back(picture.types.empty() ? 0.0f : 0.5f - 0.125f * static_cast<float>(rank));
        }
    }
    storage::publish_hdf5(paths.file(run::files::pool), [&](storage::Hdf5File& out) {
        pool::write_pool_part(out, listed, std::vector<pool::Finding>(listed.size()));
        pool::write_pool_whole(
            out, {.pictures = listed.size(), .duplicate_of = std::vector<std::int64_t>(listed.size(), -1)});
    });
    storage::publish_hdf5(paths.file(run::files::matches),
                          [&](storage::Hdf5File& out) { run::write_matches(out, matches); });
}

class OverlapTest : public ::testing::Test {
protected:
    tg::test::TemporaryFolder folder;
    run::Paths one{folder / "one"}, two{folder / "two"};
};

TEST_F(OverlapTest, of_one_run_says_what_a_smaller_k_keeps) {
    write_run(one, {"a", "b", "c", "d"}, {{"x", {"a", "b", "c"}}, {"y", {"a", "c", "b"}}, {"z", {}}}, 3);
    const auto overlap = match_overlap(one, one, {3, 1, 2, 20});
    EXPECT_EQ(overlap.pictures, 2u);
    EXPECT_EQ(overlap.types, 4u);
    EXPECT_THAT(overlap.depths, ElementsAre(1, 2, 3));
    EXPECT_EQ(overlap.first[0].types_matched, 1u) << "a";
    EXPECT_EQ(overlap.first[1].types_matched, 3u);
    EXPECT_DOUBLE_EQ(overlap.first[2].images_per_type, 2.0);
    EXPECT_DOUBLE_EQ(overlap.first[2].mean_score, 0.25);
    EXPECT_TRUE(overlap.second.empty());
    EXPECT_THAT(overlap.shared[2], ElementsAre(DoubleEq(1.0 / 3), DoubleEq(2.0 / 3), DoubleEq(1)));
    EXPECT_THAT(overlap.shared[0], ElementsAre(1, 1, 1));
}

TEST_F(OverlapTest, of_two_runs_goes_by_uri_and_path) {
    write_run(one, {"a", "b", "c", "only here"}, {{"x", {"a", "b"}}, {"y", {"c", "only here"}}, {"mine", {"a", "b"}}},
              2);
    write_run(two, {"c", "b", "a"}, {{"theirs", {"a", "b", "c"}}, {"y", {"b", "c", "a"}}, {"x", {"a", "c", "b"}}}, 3);
    const auto overlap = match_overlap(one, two, {1, 2, 3});
    EXPECT_EQ(overlap.pictures, 2u);
    EXPECT_THAT(overlap.depths, ElementsAre(1, 2)) << "the first run has two candidates";
    EXPECT_DOUBLE_EQ(overlap.same_best, 0.5);
    EXPECT_THAT(overlap.shared[0], ElementsAre(DoubleEq(0.5), DoubleEq(1)));
    EXPECT_THAT(overlap.shared[1], ElementsAre(DoubleEq(0.25), DoubleEq(0.5)))
        << "b is third in the other run, and one type is not known there";
    EXPECT_THAT(overlap_text(overlap), HasSubstr("same best type: 50.0 % of pictures"));
}

TEST_F(OverlapTest, runs_that_cannot_be_compared_are_told) {
    EXPECT_THROW(match_overlap(one, one, {1}), InputError);
    write_run(one, {"a"}, {{"x", {"a"}}}, 1);
    write_run(two, {"a"}, {{"y", {"a"}}}, 1);
    EXPECT_THROW(match_overlap(one, two, {1}), InputError);
}

}  // namespace
}  // namespace tg::report
