#include "taskgalaxy/taxonomy/bands.hpp"

#include <gtest/gtest.h>

namespace tg::taxonomy {

TEST(bands, meet_without_gap_or_overlap) {
    EXPECT_EQ(band_of(1), "1-10");
    EXPECT_EQ(band_of(10), "1-10");
    EXPECT_EQ(band_of(11), "11-50");
    EXPECT_EQ(band_of(50), "11-50");
    EXPECT_EQ(band_of(51), "51-100");
    EXPECT_EQ(band_of(100), "51-100");
    EXPECT_EQ(band_of(101), "over-100");
}

}  // namespace tg::taxonomy
