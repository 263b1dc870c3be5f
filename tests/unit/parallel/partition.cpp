#include "taskgalaxy/parallel/partition.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "taskgalaxy/core/random.hpp"

namespace tg::parallel {

TEST(slice_of, tiles_the_items_without_gap_or_overlap) {
    for (const std::uint64_t items : {0ull, 1ull, 5ull, 800'003ull, 1ull << 62})
        for (const std::uint64_t ranks : {1, 2, 3, 7, 64, 10'000}) {
            std::uint64_t next = 0;
            for (std::uint64_t rank = 0; rank < ranks; ++rank) {
                const auto slice = slice_of(items, rank, ranks);
                ASSERT_EQ(slice.begin, next);
                ASSERT_LE(slice.size(), items / ranks + 1);
                next = slice.end;
            }
            EXPECT_EQ(next, items);
        }
}

TEST(tiling, cuts_all_items_and_only_the_last_part_is_short) {
    const Tiling parts({10, 4});
    EXPECT_EQ(parts.count(), 3u);
    EXPECT_EQ(parts.part(0), (Slice{0, 4}));
    EXPECT_EQ(parts.part(2), (Slice{8, 10}));
    EXPECT_EQ(Tiling({0, 4}).count(), 0u);
    EXPECT_EQ(Tiling({3, std::uint64_t(-1)}).count(), 1u);
}

TEST(tiling, keeps_what_was_cut_otherwise_and_fills_the_gaps) {
    const Tiling parts({20, 6}, {{8, 12}, {0, 4}});
    const std::vector<std::pair<Slice, bool>> expected{
        {{0, 4}, true}, {{4, 8}, false}, {{8, 12}, true}, {{12, 18}, false}, {{18, 20}, false}};
    ASSERT_EQ(parts.count(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(parts.part(i), expected[i].first);
        EXPECT_EQ(parts.is_done(i), expected[i].second);
    }
}

// Whatever lies there, parts tile the items exactly, none is done that was not given, and none is longer than asked
// unless it was done.
TEST(tiling, has_no_gap_and_no_overlap_whatever_is_done) {
    RandomStream random(7);
    for (int round = 0; round < 2000; ++round) {
        const Cut cut{random.below(60), 1 + random.below(15)};
        std::vector<Slice> done;
        for (auto n = random.below(8); n > 0; --n) {
            const auto begin = random.below(70);
            done.push_back({begin, begin + random.below(12)});
        }
        const Tiling parts(cut, done);
        std::uint64_t next = 0;
        for (std::uint64_t i = 0; i < parts.count(); ++i) {
            const auto part = parts.part(i);
            ASSERT_EQ(part.begin, next);
            ASSERT_GT(part.size(), 0u);
            if (parts.is_done(i)) ASSERT_NE(std::ranges::find(done, part), done.end());
            else ASSERT_LE(part.size(), cut.items_per_part);
            for (auto item = part.begin; item < part.end; ++item) ASSERT_EQ(parts.part_of(item), i);
            next = part.end;
        }
        ASSERT_EQ(next, cut.items);
    }
}

}  // namespace tg::parallel
