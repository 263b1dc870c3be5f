// The two passes with AVX2, the same integers as the portable ones. A 22-bit weight times a byte needs 32 bits; instead
// of 32-bit multiplications (two micro-operations each on Intel) a weight is split, w = high * 2^12 + low, and both
// halves are multiplied and added pairwise by vpmaddwd. Sums are taken modulo 2^32, where the true sum fits, so the
// parts may wrap.
#include "resample.hpp"

#if defined(__x86_64__)
#include <cstring>
#include <immintrin.h>

namespace tg::pictures {
namespace {

#define TG_AVX2 __attribute__((target("avx2")))

// Four pixels at a time: lane 0 holds (R0 R1)(G0 G1)(B0 B1)(0 0) as words, lane 1 the same of pixels 2 and 3.
template <int Rows>
TG_AVX2 void horizontal_rows(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out) {
    constexpr char no = -1;
    const __m256i gather = _mm256_setr_epi8(0, no, 3, no, 1, no, 4, no, 2, no, 5, no, no, no, no, no, 6, no, 9, no, 7,
                                            no, 10, no, 8, no, 11, no, no, no, no, no);
    // A group's four words: high 01, low 01, high 23, low 23; lane 0 wants those of pixels 0 and 1, lane 1 those of 2
    // and 3.
    const __m256i spread_high = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10,
                                                 11, 8, 9, 10, 11, 8, 9, 10, 11);
    const __m256i spread_low = _mm256_setr_epi8(4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13,
                                                14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
    const __m128i round = _mm_set1_epi32(1 << (weight_bits - 1));
    const auto* weights = axis.pairs.data();
    for (int i = 0; i < axis.out(); ++i, weights += axis.stride / 2) {
        const auto offset = static_cast<std::size_t>(axis.first[static_cast<std::size_t>(i)]) * 3;
        const int count = axis.count[static_cast<std::size_t>(i)];
        __m256i high[Rows], low[Rows];
        for (int r = 0; r < Rows; ++r) high[r] = low[r] = _mm256_setzero_si256();
        for (int t = 0; t < count; t += 4) {
            const __m256i packed =
                _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + t / 2)));
            const __m256i w_high = _mm256_shuffle_epi8(packed, spread_high),
                          w_low = _mm256_shuffle_epi8(packed, spread_low);
            for (int r = 0; r < Rows; ++r) {
                const __m256i pixels = _mm256_shuffle_epi8(
                    _mm256_broadcastsi128_si256(_mm_loadu_si128(
                        reinterpret_cast<const __m128i*>(in[r] + offset + static_cast<std::size_t>(t) * 3))),
                    gather);
                high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(pixels, w_high));
                low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(pixels, w_low));
            }
        }
        for (int r = 0; r < Rows; ++r) {
            const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high[r], split_bits), low[r]);
            const __m128i sum = _mm_srai_epi32(
                _mm_add_epi32(_mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)), round),
                weight_bits);
            const __m128i words = _mm_packs_epi32(sum, sum);
            const std::int32_t rgb0 = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
            std::memcpy(out[r] + static_cast<std::size_t>(i) * 3, &rgb0,
                        4);  // the fourth byte is the next pixel's, or padding
        }
    }
}

TG_AVX2 void horizontal(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out, int rows) {
    switch (rows) {
        case 1: return horizontal_rows<1>(axis, in, out);
        case 2: return horizontal_rows<2>(axis, in, out);
        case 3: return horizontal_rows<3>(axis, in, out);
        default: return horizontal_rows<4>(axis, in, out);
    }
}

// 32 bytes of the row at a time, two input rows a step; an odd row out is paired with itself, under weight 0.
TG_AVX2 void vertical(const Axis& axis, int output, const std::uint8_t* const* rows, std::size_t bytes,
                      std::uint8_t* out) {
    const auto* weights =
        axis.pairs.data() + static_cast<std::size_t>(output) * static_cast<std::size_t>(axis.stride / 2);
    const int count = axis.count[static_cast<std::size_t>(output)];
    const __m256i zero = _mm256_setzero_si256(), round = _mm256_set1_epi32(1 << (weight_bits - 1));
    for (std::size_t at = 0; at < bytes; at += 32) {
        __m256i high[4] = {zero, zero, zero, zero}, low[4] = {round, round, round, round};
        for (int t = 0; t < count; t += 2) {
            const __m256i w_high = _mm256_set1_epi32(weights[t / 2].high),
                          w_low = _mm256_set1_epi32(weights[t / 2].low);
            const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[t] + at));
            const __m256i b =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[t + 1 < count ? t + 1 : t] + at));
            const __m256i ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
            const __m256i pixels[4] = {_mm256_unpacklo_epi8(ab_low, zero), _mm256_unpackhi_epi8(ab_low, zero),
                                       _mm256_unpacklo_epi8(ab_high, zero), _mm256_unpackhi_epi8(ab_high, zero)};
            for (int q = 0; q < 4; ++q) {
                high[q] = _mm256_add_epi32(high[q], _mm256_madd_epi16(pixels[q], w_high));
                low[q] = _mm256_add_epi32(low[q], _mm256_madd_epi16(pixels[q], w_low));
            }
        }
        __m256i sum[4];
        for (int q = 0; q < 4; ++q)
            sum[q] = _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high[q], split_bits), low[q]), weight_bits);
        // Packing works within 128-bit lanes, as unpacking did: bytes come back in order.
        const __m256i packed =
            _mm256_packus_epi16(_mm256_packs_epi32(sum[0], sum[1]), _mm256_packs_epi32(sum[2], sum[3]));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), packed);
    }
}

}  // namespace

const ResamplePasses* avx2_passes() {
    static constexpr ResamplePasses passes{horizontal, vertical};
    return __builtin_cpu_supports("avx2") ? &passes : nullptr;
}

}  // namespace tg::pictures
#else
namespace tg::pictures {
const ResamplePasses* avx2_passes() { return nullptr; }
}  // namespace tg::pictures
#endif
