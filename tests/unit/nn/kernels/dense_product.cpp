#include "taskgalaxy/nn/kernels/dense_product.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include <omp.h>

#include "unit/nn/kernels/matrix.hpp"

namespace tg::kernels {
namespace {

double tolerance(Number number) { return number == Number::f32 ? 1e-5 : 4e-3; }

using Shape = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // M, N, K
class DenseProduct : public ::testing::TestWithParam<std::tuple<Number, bool, bool, Shape>> {
protected:
    void SetUp() override {
        if (!can_dense_product(std::get<0>(GetParam()))) GTEST_SKIP() << "this processor has no AVX-512 for it";
    }
};

TEST_P(DenseProduct, adds_up_what_stands_in_rows_and_columns) {
    const auto [number, a_by_columns, b_by_columns, shape] = GetParam();
    const auto [M, N, K] = shape;
    Matrix a(number, M, K, a_by_columns, 1), b(number, K, N, b_by_columns, 2), addend(number, M, N, false, 3),
        bias(number, 1, N, false, 4);
    for (const bool packed : {false, true})
        for (const bool with_all : {false, true})
            for (const auto result : {Number::f32, number}) {
                SCOPED_TRACE(::testing::Message() << (packed ? "packed, " : "plain, ")
                                                  << (with_all ? "with bias, activation and addend" : "alone"));
                if (with_all && result != number) continue;  // they are of the result's format
                Matrix y(result, M, N);
                auto target = y.target();
                if (with_all) {
                    target.bias = bias.data();
                    target.addend = addend.data();
                    target.addend_row_stride = N;
                    target.activation = Activation::silu;
                }
                if (packed) dense_product(a.view(), PackedMatrix(b.view()), target);
                else dense_product(a.view(), b.view(), target);
                for (std::int64_t i = 0; i < M; i += std::max<std::int64_t>(1, M / 19))
                    for (std::int64_t j = 0; j < N; j += std::max<std::int64_t>(1, N / 23)) {
                        double sum = 0, size = 1;
                        for (std::int64_t k = 0; k < K; ++k)
                            sum += a.at(i, k) * b.at(k, j), size += std::abs(a.at(i, k) * b.at(k, j));
                        if (with_all)
                            sum = (sum + bias.at(0, j)) / (1 + std::exp(-sum - bias.at(0, j))) + addend.at(i, j);
                        ASSERT_NEAR(y.at(i, j), sum,
                                    tolerance(result) * (result == Number::f32 ? size : 1 + std::abs(sum)))
                            << i << ' ' << j;
                    }
            }
}

TEST_P(DenseProduct, bits_depend_neither_on_threads_nor_on_company) {
    const auto [number, a_by_columns, b_by_columns, shape] = GetParam();
    const auto [M, N, K] = shape;
    Matrix a(number, M, K, a_by_columns, 5), b(number, K, N, b_by_columns, 6), one(Number::f32, M, N),
        three(Number::f32, M, N), last(Number::f32, 1, N);
    const auto threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dense_product(a.view(), b.view(), one.target());
    omp_set_num_threads(3);
    dense_product(a.view(), b.view(), three.target());
    omp_set_num_threads(threads);
    auto row = a.view();
    row.data = static_cast<const char*>(row.data) + (M - 1) * row.row_stride * (number == Number::f32 ? 4 : 2);
    row.rows = 1;
    dense_product(row, PackedMatrix(b.view()), last.target());
    for (std::int64_t j = 0; j < N; ++j) {
        for (std::int64_t i = 0; i < M; ++i) ASSERT_EQ(one.at(i, j), three.at(i, j));
        ASSERT_EQ(one.at(M - 1, j), last.at(0, j));
    }
}

// Whole tiles and parts of them; odd sums; sums in more than one part.
INSTANTIATE_TEST_SUITE_P(of_many_shapes, DenseProduct,
                         ::testing::Combine(::testing::Values(Number::f32, Number::bf16), ::testing::Bool(),
                                            ::testing::Bool(),
                                            ::testing::Values(Shape{1, 1, 1}, Shape{14, 32, 16}, Shape{15, 33, 17},
                                                              Shape{29, 70, 101}, Shape{90, 600, 64},
                                                              Shape{17, 40, 7001}, Shape{1100, 36, 20})));

class DenseProductIn : public ::testing::TestWithParam<Number> {
protected:
    void SetUp() override {
        if (!can_dense_product(GetParam())) GTEST_SKIP() << "this processor has no AVX-512 for it";
    }
    // Each of xs (rounded to the format) times one, in whole tiles and in parts of one.
    static Matrix activated(const std::vector<float>& xs, Activation activation) {
        const auto M = static_cast<std::int64_t>(xs.size());
        Matrix x(GetParam(), xs), ones(GetParam(), std::vector<float>(52, 1.0f)), y(GetParam(), M, 52);
        auto target = y.target();
        target.activation = activation;
        dense_product(x.view(), ones.view().transposed(), target);
        return y;
    }
};
INSTANTIATE_TEST_SUITE_P(either_format, DenseProductIn, ::testing::Values(Number::f32, Number::bf16));

// Rows that are read where they lie, and those that are packed: as far apart as the ways of a cache are long.
TEST_P(DenseProductIn, distance_between_rows_changes_no_bit) {
    const auto number = GetParam();
    const std::int64_t M = 33, K = 64, size = number == Number::f32 ? 4 : 2;
    Matrix wide(number, M, 4096 / size, false, 11), b(number, K, 40, false, 12), near(Number::f32, M, 40),
        far(Number::f32, M, 40);
    std::vector<char> close(static_cast<std::size_t>(M * K * size));
    for (std::int64_t i = 0; i < M; ++i)
        std::memcpy(close.data() + i * K * size, static_cast<const char*>(wide.data()) + i * 4096,
                    static_cast<std::size_t>(K * size));
    dense_product({wide.data(), number, M, K, 4096 / size, 1}, b.view(), far.target());
    dense_product({close.data(), number, M, K, K, 1}, b.view(), near.target());
    for (std::int64_t i = 0; i < M; ++i)
        for (std::int64_t j = 0; j < 40; ++j) ASSERT_EQ(near.at(i, j), far.at(i, j));
}

TEST_P(DenseProductIn, activations_are_what_their_names_say) {
    std::vector<float> xs{0.0f,   -0.0f, 1e-30f, -1e-30f, 79.9f,   -79.9f, 87.5f,
                          -87.5f, 89.5f, -89.5f, 200.0f,  -200.0f, 3e38f,  -3e38f};
    for (float x = -12; x <= 12; x += 0.037f) xs.push_back(x);
    const Matrix rounded(GetParam(), xs);
    const std::pair<Activation, double (*)(double)> activations[] = {
        {Activation::none, [](double x) { return x; }},
        {Activation::silu, [](double x) { return x / (1 + std::exp(-x)); }},
        {Activation::gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
        {Activation::gelu_tanh,
         [](double x) {
             return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
         }},
    };
    // Of bf16: half a unit in the last place, and a twentieth of that.
    const double relative = GetParam() == Number::f32 ? 1e-6 : 1.05 * std::ldexp(1.0, -8);
    for (const auto& [activation, by_definition] : activations) {
        const auto y = activated(xs, activation);
        for (std::int64_t i = 0; i < std::ssize(xs); ++i) {
            const auto x = rounded.at(i, 0), expected = by_definition(x);
            for (std::int64_t j = 0; j < 52; ++j)
                ASSERT_NEAR(y.at(i, j), expected, std::max(1e-6, relative * std::abs(expected)))
                    << "activation " << static_cast<int>(activation) << " of " << x;
        }
    }
}

TEST_P(DenseProductIn, activations_of_no_number_are_none) {
    const std::vector<float> xs(15, std::numeric_limits<float>::quiet_NaN());
    for (const auto activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh}) {
        const auto y = activated(xs, activation);
        for (const std::int64_t row : {0, 14})
            for (const std::int64_t column : {0, 31, 32, 51})
                EXPECT_TRUE(std::isnan(y.at(row, column))) << "activation " << static_cast<int>(activation);
    }
}

TEST(dense_product, what_is_no_number_stays_none) {
    if (!can_dense_product(Number::bf16)) GTEST_SKIP() << "this processor has no AVX-512 for it";
    Matrix a(Number::bf16, 14, 32), b(Number::bf16, 32, 32), y(Number::bf16, 14, 32);
    static_cast<Bf16*>(a.data())[0] = bf16_of(std::numeric_limits<float>::quiet_NaN());
    static_cast<Bf16*>(a.data())[33] = bf16_of(std::numeric_limits<float>::infinity());
    dense_product(a.view(), b.view(), y.target());
    EXPECT_TRUE(std::isnan(y.at(0, 5)));
    EXPECT_TRUE(std::isinf(y.at(1, 5)));
    EXPECT_TRUE(std::isfinite(y.at(2, 5)));
}

}  // namespace
}  // namespace tg::kernels
