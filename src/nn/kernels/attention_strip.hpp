// The forward pass of attention_avx512.cpp: strips of a few queries, whose scores against all keys lie in the
// first-level cache, where softmax finds them and the product with the values takes them. Only where
// can_dense_product() says so.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "register_tile.hpp"

namespace tg::kernels::attention {

inline constexpr int strip_rows = 7, strip_vectors = 4;  // 28 of the 32 registers hold sums
template <class E> constexpr std::int64_t numbers_a_line = 64 / sizeof(E);
template <class E> constexpr Number number_of_type = std::is_same_v<E, float> ? Number::f32 : Number::bf16;

// Keys and values of a head as multiply() reads them: [vectors][steps][16] words.
struct PackedHead {
    std::int64_t size, key_steps, value_steps;
    const std::int32_t* keys;    // 16 keys a vector, steps along the head
    const std::int32_t* values;  // 16 channels a vector, steps along the positions
};

// The first `count` of 32 bf16.
constexpr __mmask32 half_lane_mask(std::int64_t count) {
    return count >= 32 ? ~__mmask32{0} : count <= 0 ? 0 : (__mmask32{1} << count) - 1;
}
// 64 bytes, of which `count` numbers are there; zeros behind.
TG_AVX512_INLINE __m512i load_numbers(const float* from, std::int64_t count) {
    return _mm512_maskz_loadu_epi32(lane_mask(count), from);
}
TG_AVX512_INLINE __m512i load_numbers(const Bf16* from, std::int64_t count) {
    return _mm512_maskz_loadu_epi16(half_lane_mask(count), from);
}

// Brings rows [first, first + count) near, of `end` rows: a head's lie so far apart that the processor sees no pattern
// in them.
template <class E> void fetch(const E* rows, std::int64_t stride, std::int64_t first, std::int64_t count,
                              std::int64_t end, std::int64_t size) {
    for (std::int64_t i = first; i < std::min(first + count, end); ++i)
        for (std::int64_t at = 0; at < size; at += numbers_a_line<E>) __builtin_prefetch(rows + i * stride + at);
}

// Behind each other, with zeros up to `stride`.
template <class E> TG_AVX512 void pack_queries(const E* queries, std::int64_t rows, std::int64_t from_stride,
                                               std::int64_t size, std::int64_t stride, E* out) {
    for (std::int64_t i = 0; i < rows; ++i, queries += from_stride, out += stride)
        for (std::int64_t at = 0; at < size; at += numbers_a_line<E>)
            _mm512_store_si512(out + at, load_numbers(queries + at, size - at));
}

template <class E> TG_AVX512 void pack_keys(const E* keys, std::int64_t stride, std::int64_t positions,
                                            std::int64_t size, std::int64_t steps, std::int32_t* out) {
    for (std::int64_t first = 0; first < positions; first += lanes, keys += lanes * stride, out += lanes * steps) {
        fetch(keys, stride, lanes, lanes, positions - first, size);
        for (std::int64_t step = 0, at = 0; step < steps; step += lanes, at += numbers_a_line<E>) {
            __m512i rows[lanes];
#pragma GCC unroll 16
            for (int i = 0; i < lanes; ++i)
                rows[i] =
                    first + i < positions ? load_numbers(keys + i * stride + at, size - at) : _mm512_setzero_si512();
            transpose(rows);
#pragma GCC unroll 16
            for (int i = 0; i < lanes; ++i)
                if (step + i < steps) _mm512_store_si512(out + (step + i) * lanes, rows[i]);
        }
    }
}

TG_AVX512 inline void pack_values(const float* values, std::int64_t stride, std::int64_t positions, std::int64_t size,
                                  std::int64_t steps, std::int32_t* out) {
    for (std::int64_t step = 0; step < positions; ++step, values += stride) {
        fetch(values, stride, lanes, 1, positions - step, size);
        for (std::int64_t channel = 0; channel < size; channel += lanes)
            _mm512_store_si512(out + channel * steps + step * lanes, load_numbers(values + channel, size - channel));
    }
}
// Pairs of positions, channel by channel.
TG_AVX512 inline void pack_values(const Bf16* values, std::int64_t stride, std::int64_t positions, std::int64_t size,
                                  std::int64_t steps, std::int32_t* out) {
    // Word i takes number i of the first position and, 32 numbers further, of the second.
    const __m512i first_numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low =
        _mm512_or_si512(first_numbers, _mm512_slli_epi32(_mm512_add_epi32(first_numbers, _mm512_set1_epi32(32)), 16));
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (std::int64_t step = 0; step < steps; ++step, values += 2 * stride) {
        fetch(values, stride, lanes, 2, positions - 2 * step, size);
        for (std::int64_t channel = 0; channel < size; channel += 2 * lanes) {
            const __m512i first = load_numbers(values + channel, size - channel),
                          second = 2 * step + 1 < positions ? load_numbers(values + stride + channel, size - channel)
                                                            : _mm512_setzero_si512();
            _mm512_store_si512(out + channel * steps + step * lanes, _mm512_permutex2var_epi16(first, low, second));
            if (channel + lanes < size)
                _mm512_store_si512(out + (channel + lanes) * steps + step * lanes,
                                   _mm512_permutex2var_epi16(first, high, second));
        }
    }
}

// e^x of what becomes a float, 2^x of what becomes bf16.
template <class E> TG_AVX512_INLINE __m512 power_of(__m512 x) {
    if constexpr (std::is_same_v<E, float>) return exponential(x);
    else return rough_power_of_two(x);
}

// Up to strip_rows queries, and where their numbers go.
template <class E> struct Strip {
    const E* queries;  // [rows, query_stride], packed
    std::int64_t query_stride;
    std::int64_t seen;  // positions that the last query sees; those before it one less each if causal
    bool causal;
    float scale;
    float* scores;  // [rows, seen rounded up to 16], and so powers
    E* powers;
    E* out;  // [rows, out_stride]
    std::int64_t out_stride;
    float* log_sum_exp;  // [rows] or null
};

// Scores of the strip with `vectors` times 16 keys. stride: from row to row of scores and powers.
template <class E, int rows, int vectors>
TG_AVX512_INLINE void score(const Strip<E>& strip, const PackedHead& head, std::int64_t vector, std::int64_t stride) {
    __m512 tile[rows][vectors];
    multiply<number_of_type<E>>(
        {reinterpret_cast<const char*>(strip.queries), strip.query_stride * std::int64_t{sizeof(E)}, 4},
        {head.keys + vector * head.key_steps * lanes, head.key_steps * lanes, lanes}, head.key_steps, tile);
#pragma GCC unroll 7
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) _mm512_store_ps(strip.scores + i * stride + (vector + v) * lanes, tile[i][v]);
}

// to = the powers of factor * scores - shift, zeros outside of `seen`; sum += them. whole: all are seen.
template <bool whole, class E>
TG_AVX512_INLINE void add_powers(const float* scores, __m512 factor, __m512 shift, __mmask16 seen, __m512& sum, E* to) {
    __m512 power = power_of<E>(_mm512_fmsub_ps(factor, _mm512_load_ps(scores), shift));
    if constexpr (!whole) power = _mm512_maskz_mov_ps(seen, power);
    sum = _mm512_add_ps(sum, power);
    store<true>(to, all_lanes, power);
}

// powers = exp(scale * (scores - the largest of the row)) of what is seen, zeros behind; totals: their sums. In stages
// over all rows, so that none waits for the end of the one before.
template <class E, int rows>
TG_AVX512_INLINE void softmax_powers(const Strip<E>& strip, std::int64_t stride, float (&totals)[rows]) {
    float largest[rows];
    const auto seen_by = [&](int i) { return strip.causal ? strip.seen - (rows - 1 - i) : strip.seen; };
    for (int i = 0; i < rows; ++i) {
        const auto* scores = strip.scores + i * stride;
        const auto seen = seen_by(i);
        __m512 top = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
        std::int64_t at = 0;
        for (; at + lanes <= seen; at += lanes) top = _mm512_max_ps(top, _mm512_load_ps(scores + at));
        if (at < seen) top = _mm512_mask_max_ps(top, lane_mask(seen - at), top, _mm512_load_ps(scores + at));
        largest[i] = strip.scale * _mm512_reduce_max_ps(top);
    }
    __m512 sums[rows];
    constexpr float to_base = std::is_same_v<E, float> ? 1.0f : 1.44269504f;
    const __m512 factor = _mm512_set1_ps(to_base * strip.scale);
    for (int i = 0; i < rows; ++i) {
        const auto* scores = strip.scores + i * stride;
        auto* powers = strip.powers + i * stride;
        const auto seen = seen_by(i);
        const __m512 shift = _mm512_set1_ps(to_base * largest[i]);
        __m512 sum = _mm512_setzero_ps();
        std::int64_t at = 0;
        for (; at + lanes <= seen; at += lanes)
            add_powers<true>(scores + at, factor, shift, all_lanes, sum, powers + at);
        for (; at < stride; at += lanes)
            add_powers<false>(scores + at, factor, shift, lane_mask(seen - at), sum, powers + at);
        sums[i] = sum;
    }
    for (int i = 0; i < rows; ++i) totals[i] = _mm512_reduce_add_ps(sums[i]);
    if (strip.log_sum_exp)
        for (int i = 0; i < rows; ++i) strip.log_sum_exp[i] = largest[i] + std::log(totals[i]);
}

// `vectors` times 16 channels of the result.
template <class E, int rows, int vectors> TG_AVX512_INLINE void mix(const Strip<E>& strip, const PackedHead& head,
                                                                    std::int64_t vector, std::int64_t stride,
                                                                    const float (&totals)[rows]) {
    __m512 tile[rows][vectors];
    multiply<number_of_type<E>>({reinterpret_cast<const char*>(strip.powers), stride * std::int64_t{sizeof(E)}, 4},
                                {head.values + vector * head.value_steps * lanes, head.value_steps * lanes, lanes},
                                steps_of(strip.seen, number_of_type<E>), tile);
    const auto last = lane_mask(head.size - (vector + vectors - 1) * lanes);
#pragma GCC unroll 7
    for (int i = 0; i < rows; ++i) {
        const __m512 share = _mm512_set1_ps(1 / totals[i]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            auto* to = strip.out + i * strip.out_stride + (vector + v) * lanes;
            const __m512 x = _mm512_mul_ps(share, tile[i][v]);
            if (v + 1 < vectors || last == all_lanes) store<true>(to, all_lanes, x);
            else store<false>(to, last, x);
        }
    }
}

template <class E, int rows> TG_AVX512 void attend_strip(const Strip<E>& strip, const PackedHead& head) {
    const auto key_vectors = over(strip.seen, lanes), channel_vectors = over(head.size, lanes),
               stride = key_vectors * lanes;
    std::int64_t vector = 0;
    for (; vector + strip_vectors <= key_vectors; vector += strip_vectors)
        score<E, rows, strip_vectors>(strip, head, vector, stride);
    for (; vector < key_vectors; ++vector) score<E, rows, 1>(strip, head, vector, stride);
    float totals[rows];
    softmax_powers<E, rows>(strip, stride, totals);
    for (vector = 0; vector + strip_vectors <= channel_vectors; vector += strip_vectors)
        mix<E, rows, strip_vectors>(strip, head, vector, stride, totals);
    for (; vector < channel_vectors; ++vector) mix<E, rows, 1>(strip, head, vector, stride, totals);
}

// One for each number of rows.
template <class E, std::size_t... i> constexpr auto strip_kernels(std::index_sequence<i...>) {
    return std::array{&attend_strip<E, static_cast<int>(i) + 1>...};
}

}  // namespace tg::kernels::attention
