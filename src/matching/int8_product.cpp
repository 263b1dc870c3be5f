// 8-bit integers on AVX-512 VNNI: vpdpbusd multiplies and adds four times as many numbers an instruction as a float
// FMA. Eight bits are few, so vectors are made easy to round first, in two ways that change no order of scores: types
// lose their mean (a score then lacks the query's product with the mean, the same for all types), and both sides are
// turned by the same orthogonal transform, random signs and Hadamard blocks, which spreads the few large components
// that embeddings have over many. What rounding still loses is measured for every row, so the bounds are a proof, not a
// guess (Cauchy-Schwarz). The scores live in registers only: 14 queries x 32 types, compared with the bars as soon as
// they are summed. Of 19,227 types some 130 a query pass; a third of these is looked at again in 16 bits, after which
// hardly more than k are left to be scored in full.
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "product.hpp"
#include "rounded_rows.hpp"
#include "taskgalaxy/core/random.hpp"

#define TG_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

namespace tg::matching {
namespace {

constexpr std::int64_t queries_a_tile = 14, types_a_tile = 32;  // 28 of the 32 registers hold sums
constexpr std::int64_t numbers_a_step = 4;                      // that one instruction multiplies in one lane
constexpr float top = 127.0f;
constexpr std::int64_t widest = 131072;  // components whose sum of products surely fits 32 bits

// The orthogonal transform, but for a factor.
class Turn {
public:
    explicit Turn(std::int64_t dim)
        : width_((dim + 63) / 64 * 64),
          block_(std::int64_t{1} << std::countr_zero(static_cast<std::uint64_t>(width_))) {
        RandomStream random(0x7461736B);
        for (std::int64_t d = 0; d < dim; ++d) signs_.push_back(random.unit() < 0.5 ? -1.0f : 1.0f);
    }
    std::int64_t width() const { return width_; }
    float stretch() const { return std::sqrt(static_cast<float>(block_)); }  // what lengths grow by
    // Length of what rounding adds to a row of length 1: each stage rounds every component once.
    float error() const {
        return static_cast<float>(std::countr_zero(static_cast<std::uint64_t>(block_)) + 2) * 0x1p-24f;
    }

    // row [dim] less `mean` [dim] (empty: nothing) -> out [width]
    TG_VNNI void operator()(const float* row, std::span<const float> mean, float* out) const {
        const auto dim = static_cast<std::int64_t>(signs_.size());
        for (std::int64_t d = 0; d < dim; ++d)
            out[d] = (mean.empty() ? row[d] : row[d] - mean[static_cast<std::size_t>(d)]) *
                     signs_[static_cast<std::size_t>(d)];
        std::fill(out + dim, out + width_, 0.0f);
        const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        for (std::int64_t first = 0; first < width_;
             first += 16) {  // the stages inside a vector: the partner's number, and plus or minus one's own
            __m512 x = _mm512_loadu_ps(out + first);
#pragma GCC unroll 4
            for (int half = 1; half < 16; half *= 2) {
                const __m512i partner = _mm512_xor_si512(lane, _mm512_set1_epi32(half));
                const auto minus = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(half));
                const __m512 other = _mm512_permutexvar_ps(partner, x);
                x = _mm512_mask_sub_ps(_mm512_add_ps(other, x), minus, other, x);
            }
            _mm512_storeu_ps(out + first, x);
        }
        for (std::int64_t half = 16; half < block_; half *= 2)
            for (std::int64_t first = 0; first < width_; first += 2 * half)
                for (auto d = first; d < first + half; ++d) {
                    const float a = out[d], b = out[d + half];
                    out[d] = a + b;
                    out[d + half] = a - b;
                }
    }

private:
    std::int64_t width_, block_;
    std::vector<float> signs_;
};

float largest_of(const std::vector<float>& row) {
    float largest = 0;
    for (const auto number : row) largest = std::max(largest, std::abs(number));
    return largest;
}

// What one tile is given, and what it finds.
struct QueryTile {
    const std::int32_t* packed;  // [steps][14] times 4 signed bytes
    const std::int32_t* starts;  // [14]; what takes the types' 128 out of a sum
    const float* slopes;         // [14]; length / unit
    const float* bars;           // [14]; in units
};
struct TypeTile {
    const std::uint8_t* packed;   // [steps][32] times 4 bytes that stand 128 too high
    const float *units, *errors;  // [32]
};
struct alignas(64) Found {
    float scores[queries_a_tile][types_a_tile];  // sum * type's unit
    std::uint32_t above[queries_a_tile];         // a bit a type: it may reach the query's bar
};

// sums += unsigned a * signed b, four a lane. _mm512_dpbusd_epi32 in a word: GCC 12 copies every sum about where the
// intrinsic stands in a loop.
TG_VNNI inline void add_products(__m512i& sums, __m512i a, __m512i b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
}

TG_VNNI void multiply_tile(const QueryTile& queries, const TypeTile& types, std::int64_t steps, Found& found) {
    __m512i sums[queries_a_tile][2];
#pragma GCC unroll 14
    for (int q = 0; q < queries_a_tile; ++q) sums[q][0] = sums[q][1] = _mm512_set1_epi32(queries.starts[q]);
    for (std::int64_t step = 0; step < steps; ++step) {
        const __m512i lower = _mm512_load_si512(types.packed + step * types_a_tile * numbers_a_step);
        const __m512i upper = _mm512_load_si512(types.packed + step * types_a_tile * numbers_a_step + 64);
#pragma GCC unroll 14
        for (int q = 0; q < queries_a_tile; ++q) {
            const __m512i query = _mm512_set1_epi32(queries.packed[step * queries_a_tile + q]);
            add_products(sums[q][0], lower, query);
            add_products(sums[q][1], upper, query);
        }
    }
    const __m512 units[2] = {_mm512_loadu_ps(types.units), _mm512_loadu_ps(types.units + 16)},
                 errors[2] = {_mm512_loadu_ps(types.errors), _mm512_loadu_ps(types.errors + 16)};
#pragma GCC unroll 14
    for (int q = 0; q < queries_a_tile; ++q) {
        const __m512 slope = _mm512_set1_ps(queries.slopes[q]), bar = _mm512_set1_ps(queries.bars[q]);
        __mmask16 above[2];
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            const __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[q][half]), units[half]);
            above[half] = _mm512_cmp_ps_mask(_mm512_fmadd_ps(errors[half], slope, score), bar, _CMP_GE_OQ);
            _mm512_store_ps(found.scores[q] + 16 * half, score);
        }
        found.above[q] = static_cast<std::uint32_t>(above[0]) | static_cast<std::uint32_t>(above[1]) << 16;
    }
}

// Sum of products of rows of 16-bit integers; dim: a multiple of 32.
TG_VNNI std::int32_t int16_dot(const std::int16_t* a, const std::int16_t* b, std::int64_t dim) {
    __m512i sums = _mm512_setzero_si512();
    for (std::int64_t d = 0; d < dim; d += 32)
        sums = _mm512_dpwssd_epi32(sums, _mm512_loadu_si512(a + d), _mm512_loadu_si512(b + d));
    return _mm512_reduce_add_epi32(sums);
}

class Int8Product final : public Product {
public:
    Int8Product(std::span<const float> types, std::int64_t dim)
        : dim_(dim),
          num_types_(static_cast<std::int64_t>(types.size()) / dim),
          turn_(dim),
          steps_(turn_.width() / numbers_a_step),
          mean_(static_cast<std::size_t>(dim)) {
        std::vector<double> sums(static_cast<std::size_t>(dim), 0.0);
        for (std::int64_t t = 0; t < num_types_; ++t)
            for (std::int64_t d = 0; d < dim; ++d)
                sums[static_cast<std::size_t>(d)] += static_cast<double>(types[static_cast<std::size_t>(t * dim + d)]);
        for (std::size_t d = 0; d < sums.size(); ++d)
            mean_[d] = static_cast<float>(sums[d] / static_cast<double>(num_types_));
        const auto panels = (num_types_ + types_a_tile - 1) / types_a_tile;
        packed_.resize(static_cast<std::size_t>(panels * steps_ * types_a_tile * numbers_a_step) / sizeof(Line));
        std::memset(packed_.data(), 128, packed_.size() * sizeof(Line));
        units_.resize(static_cast<std::size_t>(panels * types_a_tile), 0.0f);
        errors_.resize(units_.size(), 0.0f);
        std::vector<float> turned(static_cast<std::size_t>(turn_.width()));
        std::vector<std::int8_t> rounded(turned.size());
        for (std::int64_t t = 0; t < num_types_; ++t)
            longest_whole_ = std::max(longest_whole_, length_of(types.data() + t * dim, dim));
        fine_scale_ = scale_to(int16_length, longest_whole_);
        fine_.resize(static_cast<std::size_t>(num_types_ * turn_.width()));
        for (std::int64_t t = 0; t < num_types_; ++t) {
            const auto* type = types.data() + t * dim;
            fine_error_ = std::max(fine_error_, round_row(type, dim, fine_scale_, fine_.data() + t * turn_.width()));
            turn_(type, mean_, turned.data());
            longest_ = std::max(longest_, length_of(turned.data(), turn_.width()) / turn_.stretch());
            const float scale = scale_to(top, largest_of(turned));
            errors_[static_cast<std::size_t>(t)] =
                round_row(turned.data(), turn_.width(), scale, rounded.data()) / turn_.stretch();
            units_[static_cast<std::size_t>(t)] = 1.0f / scale;
            auto* panel = bytes() + (t / types_a_tile) * steps_ * types_a_tile * numbers_a_step;
            for (std::int64_t step = 0; step < steps_; ++step)
                for (std::int64_t i = 0; i < numbers_a_step; ++i)
                    panel[(step * types_a_tile + t % types_a_tile) * numbers_a_step + i] =
                        static_cast<std::uint8_t>(rounded[static_cast<std::size_t>(step * numbers_a_step + i)] + 128);
        }
    }

    std::int64_t block() const override {
        return 16 * queries_a_tile;
    }  // 224 queries of 768 components: 172 kB, in the second-level cache
    std::string_view name() const override { return "int8"; }

    void offer(std::span<const float> queries, int k, std::span<Nominees> nominees) const override {
        const auto rows = static_cast<std::int64_t>(queries.size()) / dim_,
                   groups = (rows + queries_a_tile - 1) / queries_a_tile;
        const auto block = prepared(queries, rows, groups * queries_a_tile);
        std::vector<Nominees> rough(static_cast<std::size_t>(rows));
        std::vector<float> bars(block.units.size(),
                                std::numeric_limits<float>::infinity());  // rows that are none reach no bar
        std::fill_n(bars.begin(), rows, -std::numeric_limits<float>::infinity());
        for (auto& list : rough) list.begin(k);
        Found found;
        for (std::int64_t first = 0; first < num_types_; first += types_a_tile) {
            const TypeTile types{bytes() + first * steps_ * numbers_a_step, units_.data() + first,
                                 errors_.data() + first};
            const auto real =
                num_types_ - first < types_a_tile ? (std::uint32_t{1} << (num_types_ - first)) - 1 : ~std::uint32_t{0};
            for (std::int64_t group = 0; group < groups; ++group) {
                const auto from = static_cast<std::size_t>(group * queries_a_tile);
                multiply_tile({block.packed.data() + from * static_cast<std::size_t>(steps_),
                               block.starts.data() + from, block.slopes.data() + from, bars.data() + from},
                              types, steps_, found);
                for (std::size_t i = 0; i < queries_a_tile; ++i) {
                    auto above = found.above[i] & real;
                    if (!above) continue;
                    const auto q = from + i;
                    for (; above; above &= above - 1) {
                        const auto t = std::countr_zero(above);
                        const float score = found.scores[i][t] * block.units[q] + block.offsets[q],
                                    error = types.errors[t] * block.lengths[q] + block.errors[q];
                        if (score + error >= rough[q].bar())
                            rough[q].add(score - error, score + error, static_cast<std::int32_t>(first) + t);
                    }
                    bars[q] = (rough[q].bar() - block.offsets[q] - block.errors[q]) / block.units[q];
                }
            }
        }
        for (std::int64_t i = 0; i < rows; ++i)
            look_again(queries.data() + i * dim_, rough[static_cast<std::size_t>(i)].finish(), k,
                       nominees[static_cast<std::size_t>(i)]);
    }

private:
    // What a block of queries needs while types pass by; a score is sum * type's unit * unit + offset, wrong by at most
    // type's error * length + error.
    struct Block {
        std::vector<std::int32_t> packed, starts;  // as QueryTile's, tile behind tile
        std::vector<float> units, offsets, lengths, errors, slopes;
    };

    Block prepared(std::span<const float> queries, std::int64_t rows, std::int64_t padded_rows) const {
        const auto padded = static_cast<std::size_t>(padded_rows);
        const std::vector<float> zeros(padded, 0.0f);
        Block block{std::vector<std::int32_t>(padded * static_cast<std::size_t>(steps_)),
                    std::vector<std::int32_t>(padded),
                    zeros,
                    zeros,
                    zeros,
                    zeros,
                    zeros};
        std::vector<float> turned(static_cast<std::size_t>(turn_.width()));
        std::vector<std::int8_t> rounded(turned.size());
        for (std::int64_t i = 0; i < rows; ++i) {
            const auto q = static_cast<std::size_t>(i);
            const auto* query = queries.data() + i * dim_;
            turn_(query, {}, turned.data());
            const float scale = scale_to(top, largest_of(turned));
            const float length = length_of(query, dim_),
                        lost = round_row(turned.data(), turn_.width(), scale, rounded.data()) / turn_.stretch();
            for (std::int64_t step = 0; step < steps_; ++step)
                std::memcpy(&block.packed[static_cast<std::size_t>(
                                (i / queries_a_tile * steps_ + step) * queries_a_tile + i % queries_a_tile)],
                            &rounded[static_cast<std::size_t>(step * numbers_a_step)], numbers_a_step);
            block.starts[q] = -128 * std::accumulate(rounded.begin(), rounded.end(), 0);
            block.units[q] = 1.0f / (scale * turn_.stretch() * turn_.stretch());
            block.offsets[q] = static_cast<float>(exact_dot(query, mean_.data(), dim_));
            // As rounding_error(), type by type; and what is lost in turning and in taking out the mean.
            block.lengths[q] = length + lost;
            block.errors[q] = lost * longest_ + length * longest_whole_ * (4 * turn_.error() + 0x1p-19f);
            block.slopes[q] = block.lengths[q] / block.units[q];
        }
        return block;
    }

    // Offers those of `rough` that may still be among the k best, with the bounds of 16 bits.
    void look_again(const float* query, const std::vector<Nominee>& rough, int k, Nominees& nominees) const {
        std::vector<std::int16_t> rounded(static_cast<std::size_t>(turn_.width()), 0);
        const float length = length_of(query, dim_);
        const float scale = scale_to(int16_length, length), unit = 1.0f / (scale * fine_scale_),
                    lost = round_row(query, dim_, scale, rounded.data());
        const float error = rounding_error(length, lost, longest_whole_, fine_error_);
        const auto row_of = [&](std::size_t i) { return fine_.data() + rough[i].type * turn_.width(); };
        constexpr std::size_t ahead = 4;  // rows on their way from memory
        nominees.begin(k);
        for (std::size_t i = 0; i < rough.size(); ++i) {
            if (i + ahead < rough.size() && rough[i + ahead].upper >= nominees.bar())
                for (std::int64_t d = 0; d < turn_.width(); d += 32) __builtin_prefetch(row_of(i + ahead) + d);
            if (rough[i].upper < nominees.bar()) continue;
            const float score = static_cast<float>(int16_dot(rounded.data(), row_of(i), turn_.width())) * unit;
            nominees.add(score - error, score + error, rough[i].type);
        }
    }

    struct alignas(64) Line {
        std::uint8_t bytes[64];
    };
    std::uint8_t* bytes() { return packed_.front().bytes; }
    const std::uint8_t* bytes() const { return packed_.front().bytes; }

    std::int64_t dim_, num_types_;
    Turn turn_;
    std::int64_t steps_;
    std::vector<float> mean_;                // [D]
    std::vector<float> units_, errors_;      // [T]
    float longest_ = 0, longest_whole_ = 0;  // of types less their mean, of types as given
    std::vector<Line> packed_;               // [panels][steps][32] times 4 numbers
    std::vector<std::int16_t> fine_;         // [T, width], of types as given, times fine_scale_
    float fine_scale_ = 1, fine_error_ = 0;
};

}  // namespace

bool can_use_int8_product(std::int64_t dim) {
    return dim <= widest && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}
std::unique_ptr<Product> make_int8_product(std::span<const float> types, std::int64_t dim) {
    return std::make_unique<Int8Product>(types, dim);
}

}  // namespace tg::matching
