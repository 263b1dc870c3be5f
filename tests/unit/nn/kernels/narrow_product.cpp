#include "taskgalaxy/nn/kernels/narrow_product.hpp"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace tg::kernels {
namespace {

struct Case {
    std::int64_t m, k, n;
    std::vector<float> x, w;
    std::vector<Bf16> w16;  // and then w holds what w16 stands for

    Case(std::int64_t rows, std::int64_t depth, std::int64_t columns)
        : m(rows), k(depth), n(columns), x(static_cast<std::size_t>(m * k)), w(static_cast<std::size_t>(n * k)) {
        std::mt19937 random(static_cast<unsigned>(m * 1000003 + k * 1009 + n));
        std::normal_distribution<float> normal;
        for (auto& v : x) v = normal(random);
        for (auto& v : w) {
            const auto bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(normal(random)) >> 16);
            w16.push_back({bits});
            v = std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
        }
    }
    double exact(std::int64_t i, std::int64_t j) const {
        double sum = 0;
        for (std::int64_t c = 0; c < k; ++c)
            sum += static_cast<double>(x[static_cast<std::size_t>(i * k + c)]) *
                   static_cast<double>(w[static_cast<std::size_t>(j * k + c)]);
        return sum;
    }
    template <class E>
    std::vector<float> product(const std::vector<E>& weights, std::int64_t begin, std::int64_t end) const {
        std::vector<float> y(static_cast<std::size_t>(m * n), -777.0f);
        narrow_product(x.data(), weights.data(), y.data(), m, k, n, begin, end);
        return y;
    }
};

TEST(narrow_product, equals_sums_in_double_precision_whatever_the_shape) {
    for (const std::int64_t m : {1, 2, 3, 4, 5, 8, 31})
        for (const std::int64_t k : {1, 7, 8, 9, 64, 257})
            for (const std::int64_t n : {1, 2, 3, 4, 10, 33}) {
                const Case c(m, k, n);
                const auto y = c.product(c.w, 0, n);
                for (std::int64_t i = 0; i < m; ++i)
                    for (std::int64_t j = 0; j < n; ++j)
                        ASSERT_NEAR(y[static_cast<std::size_t>(i * n + j)], c.exact(i, j),
                                    1e-5 * std::sqrt(static_cast<double>(k)) + 1e-6)
                            << m << "x" << k << "x" << n << " at " << i << "," << j;
                ASSERT_EQ(c.product(c.w16, 0, n), y)
                    << "bf16 weights of the same values, " << m << "x" << k << "x" << n;
            }
}

TEST(narrow_product, writes_only_the_columns_it_is_asked_for) {
    const Case c(5, 40, 20);
    const auto whole = c.product(c.w, 0, 20), part = c.product(c.w, 7, 15);
    for (std::int64_t i = 0; i < 5; ++i)
        for (std::int64_t j = 0; j < 20; ++j) {
            const auto at = static_cast<std::size_t>(i * 20 + j);
            EXPECT_EQ(part[at], j >= 7 && j < 15 ? whole[at] : -777.0f) << i << "," << j;
        }
}

TEST(narrow_product, of_a_row_does_not_depend_on_its_company) {
    const Case all(13, 100, 9);
    const auto together = all.product(all.w, 0, 9);
    for (std::int64_t i = 0; i < 13; ++i) {
        Case one = all;
        one.m = 1;
        one.x.assign(all.x.begin() + i * 100, all.x.begin() + (i + 1) * 100);
        const auto alone = one.product(one.w, 0, 9);
        for (std::size_t j = 0; j < 9; ++j)
            EXPECT_EQ(alone[j], together[static_cast<std::size_t>(i) * 9 + j]) << "row " << i;
    }
}

}  // namespace
}  // namespace tg::kernels
