#include "taskgalaxy/nn/kernels/attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "unit/nn/kernels/matrix.hpp"

namespace tg::kernels {
namespace {

// Attention as its definition says, in doubles.
struct Expected {
    std::vector<double> out, d_qkv;
};
Expected by_definition(const AttentionInput& input, Matrix& qkv, Matrix& d_out) {
    const auto Q = input.query, D = input.size, row = input.row(), group = Q / input.key_value;
    Expected expected{std::vector<double>(static_cast<std::size_t>(input.tokens() * Q * D)),
                      std::vector<double>(static_cast<std::size_t>(input.tokens() * row))};
    const double scale = 1 / std::sqrt(static_cast<double>(D));
    for (std::size_t s = 0; s + 1 < input.starts.size(); ++s)
        for (std::int64_t h = 0; h < Q; ++h)
            for (auto t = input.starts[s]; t < input.starts[s + 1]; ++t) {
                const auto k = (Q + h / group) * D, v = (Q + input.key_value + h / group) * D,
                           last = input.causal ? t + 1 : input.starts[s + 1];
                std::vector<double> share;
                double total = 0;
                for (auto u = input.starts[s]; u < last; ++u) {
                    double score = 0;
                    for (std::int64_t d = 0; d < D; ++d) score += qkv.at(t, h * D + d) * qkv.at(u, k + d);
                    total += share.emplace_back(std::exp(score * scale));
                }
                double drawn = 0;
                std::vector<double> d_share;
                for (auto u = input.starts[s]; u < last; ++u) {
                    auto& p = share[static_cast<std::size_t>(u - input.starts[s])];
                    p /= total;
                    double d_p = 0;
                    for (std::int64_t d = 0; d < D; ++d) {
                        expected.out[static_cast<std::size_t>((t * Q + h) * D + d)] += p * qkv.at(u, v + d);
                        d_p += d_out.at(t, h * D + d) * qkv.at(u, v + d);
                        expected.d_qkv[static_cast<std::size_t>(u * row + v + d)] += p * d_out.at(t, h * D + d);
                    }
                    drawn += p * d_share.emplace_back(d_p);
                }
                for (auto u = input.starts[s]; u < last; ++u) {
                    const auto i = static_cast<std::size_t>(u - input.starts[s]);
                    const double d_score = share[i] * (d_share[i] - drawn) * scale;
                    for (std::int64_t d = 0; d < D; ++d) {
                        expected.d_qkv[static_cast<std::size_t>(t * row + h * D + d)] += d_score * qkv.at(u, k + d);
                        expected.d_qkv[static_cast<std::size_t>(u * row + k + d)] += d_score * qkv.at(t, h * D + d);
                    }
                }
            }
    return expected;
}

class DenseAttention : public ::testing::TestWithParam<std::tuple<Number, bool, std::int64_t>> {};

TEST_P(DenseAttention, is_what_its_definition_says) {
    const auto [number, causal, size] = GetParam();
    if (!can_dense_product(number)) GTEST_SKIP() << "this processor has no AVX-512 for it";
    const std::vector<std::int64_t> starts{0, 0, 1, 18, 18, 171};  // a strip is 7 queries, a block 140
    Matrix qkv(number, starts.back(), 10 * size, false, 7), d_out(number, starts.back(), 6 * size, false, 8),
        out(number, starts.back(), 6 * size), d_qkv(number, starts.back(), 10 * size);
    const AttentionInput input{qkv.data(), number, 6, 2, size, starts, causal};
    std::vector<float> log_sum_exp(static_cast<std::size_t>(6 * starts.back()));
    attend(input, out.data(), log_sum_exp.data());
    attend_backward(input, d_out.data(), out.data(), log_sum_exp.data(), d_qkv.data());
    const auto expected = by_definition(input, qkv, d_out);
    const double tolerance = number == Number::f32 ? 2e-5 : 3e-2;
    for (std::int64_t t = 0; t < starts.back(); ++t) {
        for (std::int64_t c = 0; c < 6 * size; ++c)
            ASSERT_NEAR(out.at(t, c), expected.out[static_cast<std::size_t>(t * 6 * size + c)], tolerance)
                << t << ' ' << c;
        for (std::int64_t c = 0; c < 10 * size; ++c) {
            const auto d = expected.d_qkv[static_cast<std::size_t>(t * 10 * size + c)];
            ASSERT_NEAR(d_qkv.at(t, c), d, tolerance * (1 + std::abs(d))) << t << ' ' << c;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(of_both_formats, DenseAttention,
                         ::testing::Combine(::testing::Values(Number::f32, Number::bf16), ::testing::Bool(),
                                            ::testing::Values(16, 33, 80)));

}  // namespace
}  // namespace tg::kernels
