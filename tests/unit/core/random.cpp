#include "taskgalaxy/core/random.hpp"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

namespace tg {

TEST(random, is_a_function_of_seed_and_index) {
    EXPECT_EQ(random_bits(7, 1000), random_bits(7, 1000));
    EXPECT_NE(random_bits(7, 1000), random_bits(8, 1000));
    RandomStream stream(7);
    for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(stream(), random_bits(7, i));
}

TEST(random, units_are_spread_evenly) {
    double sum = 0;
    std::array<int, 10> bins{};
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        const double x = random_unit(3, i);
        ASSERT_GE(x, 0);
        ASSERT_LT(x, 1);
        sum += x;
        ++bins[static_cast<std::size_t>(x * 10)];
    }
    EXPECT_NEAR(sum / 100'000, 0.5, 0.005);
    for (const int count : bins) EXPECT_NEAR(count, 10'000, 500);
}

TEST(random, below_reaches_every_value_and_no_other) {
    RandomStream stream(11);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(stream.below(7));
    EXPECT_EQ(seen, (std::set<std::uint64_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(random, shuffle_is_a_permutation_decided_by_the_seed) {
    std::vector<int> a(100), b;
    std::iota(a.begin(), a.end(), 0);
    auto sorted = b = a;
    shuffle(a, 5);
    shuffle(b, 5);
    EXPECT_EQ(a, b);
    EXPECT_NE(a, sorted);
    std::sort(a.begin(), a.end());
    EXPECT_EQ(a, sorted);
}

}  // namespace tg
