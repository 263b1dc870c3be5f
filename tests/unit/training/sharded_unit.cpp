#include "sharded_unit.hpp"

#include <gtest/gtest.h>

namespace {

TEST(SumOfSquares, is_exact_over_millions_of_elements) {
    for (const std::int64_t n :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 14, (std::int64_t{1} << 23) + 5}) {
        const auto wanted = static_cast<double>(n) * static_cast<double>(0.1f) * static_cast<double>(0.1f);
        EXPECT_NEAR(tg::training::sum_of_squares(torch::full({n}, 0.1f)), wanted, 1e-6 * wanted);
    }
}

}  // namespace
