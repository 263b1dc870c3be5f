// 16-bit integers on AVX2: vpmaddwd multiplies and adds twice as many numbers an instruction as a float FMA. Rows are
// scaled to 15 bits and rounded; the rounding error of every row is measured, so the slack is a proof, not a guess
// (Cauchy-Schwarz). The scores live in registers only: 6 queries x 16 types, compared with the bars as soon as they are
// summed.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "product.hpp"
#include "rounded_rows.hpp"

namespace tg::matching {
namespace {

constexpr std::int64_t queries_a_tile = 6, types_a_tile = 16;

// Sums of one tile. a: [pairs][6] pairs of int16, b: [pairs][16] pairs of int16; sums: [6][16].
__attribute__((target("avx2"))) void multiply_tile(const std::int32_t* a, const std::int32_t* b, std::int64_t pairs,
                                                   __m256i (&sums)[queries_a_tile][2]) {
    __m256i s00 = _mm256_setzero_si256(), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00,
            s40 = s00, s41 = s00, s50 = s00, s51 = s00;
    for (std::int64_t p = 0; p < pairs; ++p) {
        const __m256i b0 = _mm256_load_si256(reinterpret_cast<const __m256i*>(b + p * types_a_tile));
        const __m256i b1 = _mm256_load_si256(reinterpret_cast<const __m256i*>(b + p * types_a_tile + 8));
        const auto step = [&](std::int64_t q, __m256i & lower, __m256i & upper)
            __attribute__((target("avx2"), always_inline)) {
            const __m256i one = _mm256_set1_epi32(a[p * queries_a_tile + q]);
            lower = _mm256_add_epi32(lower, _mm256_madd_epi16(one, b0));
            upper = _mm256_add_epi32(upper, _mm256_madd_epi16(one, b1));
        };
        step(0, s00, s01);
        step(1, s10, s11);
        step(2, s20, s21);
        step(3, s30, s31);
        step(4, s40, s41);
        step(5, s50, s51);
    }
    const __m256i all[queries_a_tile][2] = {{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}, {s40, s41}, {s50, s51}};
    std::memcpy(sums, all, sizeof all);
}

class Int16Product final : public Product {
public:
    Int16Product(std::span<const float> types, std::int64_t dim)
        : dim_(dim), num_types_(static_cast<std::int64_t>(types.size()) / dim), pairs_((dim + 1) / 2) {
        float longest = 0;
        for (std::int64_t t = 0; t < num_types_; ++t)
            longest = std::max(longest, length_of(types.data() + t * dim, dim));
        // One scale for all types: their integer scores then compare as they are.
        type_scale_ = scale_to(int16_length, longest);
        longest_type_ = longest;
        const auto panels = (num_types_ + types_a_tile - 1) / types_a_tile;
        packed_.resize(static_cast<std::size_t>(panels * pairs_ * types_a_tile) / 8 + 1);
        auto* pairs_of_types = reinterpret_cast<std::int16_t*>(packed_.data());
        std::vector<std::int16_t> row(static_cast<std::size_t>(2 * pairs_), 0);
        for (std::int64_t t = 0; t < num_types_; ++t) {
            type_error_ = std::max(type_error_, round_row(types.data() + t * dim, dim, type_scale_, row.data()));
            auto* panel = pairs_of_types + (t / types_a_tile) * pairs_ * types_a_tile * 2;
            for (std::int64_t p = 0; p < pairs_; ++p)
                std::memcpy(panel + (p * types_a_tile + t % types_a_tile) * 2, row.data() + 2 * p, 4);
        }
    }

    std::int64_t block() const override {
        return 32 * queries_a_tile;
    }  // 192 queries of 768 components: 295 kB, in the second-level cache
    std::string_view name() const override { return "int16"; }

    __attribute__((target("avx2"))) void offer(std::span<const float> queries, int k,
                                               std::span<Nominees> nominees) const override {
        const auto rows = static_cast<std::int64_t>(queries.size()) / dim_;
        const auto groups = (rows + queries_a_tile - 1) / queries_a_tile;
        std::vector<std::int32_t> packed(static_cast<std::size_t>(groups * pairs_ * queries_a_tile), 0);
        std::vector<std::int16_t> row(static_cast<std::size_t>(2 * pairs_), 0);
        std::vector<float> unit(static_cast<std::size_t>(groups * queries_a_tile), 0.0f),
            errors(unit.size());  // score = integer sum * unit, but for the error
        std::vector<std::int32_t> bars(static_cast<std::size_t>(groups * queries_a_tile),
                                       std::numeric_limits<std::int32_t>::max());
        for (std::int64_t q = 0; q < rows; ++q) {
            const auto* query = queries.data() + q * dim_;
            const float length = length_of(query, dim_);
            const float query_scale = scale_to(int16_length, length),
                        lost = round_row(query, dim_, query_scale, row.data());
            for (std::int64_t p = 0; p < pairs_; ++p)
                std::memcpy(&packed[static_cast<std::size_t>(((q / queries_a_tile) * pairs_ + p) * queries_a_tile +
                                                             q % queries_a_tile)],
                            row.data() + 2 * p, 4);
            unit[static_cast<std::size_t>(q)] = 1.0f / (query_scale * type_scale_);
            errors[static_cast<std::size_t>(q)] = rounding_error(length, lost, longest_type_, type_error_);
            nominees[static_cast<std::size_t>(q)].begin(k);
            bars[static_cast<std::size_t>(q)] = std::numeric_limits<std::int32_t>::min();
        }
        const auto panels = (num_types_ + types_a_tile - 1) / types_a_tile;
        const auto* types = reinterpret_cast<const std::int32_t*>(packed_.data());
        __m256i sums[queries_a_tile][2];
        for (std::int64_t panel = 0; panel < panels; ++panel) {
            const auto first = panel * types_a_tile, count = std::min(types_a_tile, num_types_ - first);
            for (std::int64_t group = 0; group < groups; ++group) {
                multiply_tile(packed.data() + group * pairs_ * queries_a_tile, types + panel * pairs_ * types_a_tile,
                              pairs_, sums);
                for (std::int64_t i = 0; i < queries_a_tile; ++i) {
                    const auto q = static_cast<std::size_t>(group * queries_a_tile + i);
                    const __m256i bar = _mm256_set1_epi32(bars[q]);
                    const __m256i above =
                        _mm256_or_si256(_mm256_cmpgt_epi32(sums[i][0], bar), _mm256_cmpgt_epi32(sums[i][1], bar));
                    if (_mm256_testz_si256(above, above)) continue;
                    alignas(32) std::array<std::int32_t, types_a_tile> values;
                    std::memcpy(values.data(), sums[i], sizeof values);
                    for (std::int64_t t = 0; t < count; ++t) {
                        if (values[static_cast<std::size_t>(t)] <= bars[q]) continue;
                        const float score = static_cast<float>(values[static_cast<std::size_t>(t)]) * unit[q];
                        nominees[q].add(score - errors[q], score + errors[q], static_cast<std::int32_t>(first + t));
                    }
                    bars[q] = integer_bar(nominees[q].bar() - errors[q], unit[q]);
                }
            }
        }
    }

private:
    // The largest integer that is surely below the bar.
    static std::int32_t integer_bar(float bar, float unit) {
        const double value = std::floor(static_cast<double>(bar) / static_cast<double>(unit)) - 1;
        return value < static_cast<double>(std::numeric_limits<std::int32_t>::min())
                   ? std::numeric_limits<std::int32_t>::min()
                   : static_cast<std::int32_t>(value);
    }

    struct alignas(32) Lane {
        std::int32_t pairs[8];
    };
    std::int64_t dim_, num_types_, pairs_;
    float type_scale_ = 1, longest_type_ = 0, type_error_ = 0;
    std::vector<Lane> packed_;  // [panels][pairs][16] pairs of int16
};

}  // namespace

bool can_use_int16_product(std::int64_t) { return __builtin_cpu_supports("avx2") != 0; }
std::unique_ptr<Product> make_int16_product(std::span<const float> types, std::int64_t dim) {
    return std::make_unique<Int16Product>(types, dim);
}

}  // namespace tg::matching
