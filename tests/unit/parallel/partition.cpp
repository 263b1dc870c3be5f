#include "taskgalaxy/parallel/partition.hpp"

#include <gtest/gtest.h>

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

TEST(parts, cover_all_items_and_only_the_last_is_short) {
    const Parts parts{10, 4};
    EXPECT_EQ(parts.count(), 3u);
    EXPECT_EQ(parts.part(0), (Slice{0, 4}));
    EXPECT_EQ(parts.part(2), (Slice{8, 10}));
    EXPECT_EQ((Parts{0, 4}).count(), 0u);
}

}  // namespace tg::parallel
