// The horizontal pass with AVX-512: as that with AVX2, but eight pixels a step, and their products are added to the
// sums by the instruction that multiplies. The vertical pass takes little time and remains AVX2's.
#include "resample.hpp"

#if defined(__x86_64__)
#include <cstring>
#include <immintrin.h>

namespace tg::pictures {
namespace {

#define TG_AVX512_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")))

// Lane k of 128 bits holds (R R)(G G)(B B)(0 0) of pixels 2k and 2k + 1 as words: where its bytes come from in packed
// RGB, and which of them come from anywhere.
struct Gather {
    alignas(64) std::uint8_t from[64] = {};
    std::uint64_t used = 0;

    constexpr Gather() {
        for (std::size_t lane = 0; lane < 4; ++lane)
            for (std::size_t channel = 0; channel < 3; ++channel)
                for (std::size_t pixel = 0; pixel < 2; ++pixel) {
                    const auto to = 16 * lane + 4 * channel + 2 * pixel;
                    from[to] = static_cast<std::uint8_t>(6 * lane + 3 * pixel + channel);
                    used |= std::uint64_t{1} << to;
                }
    }
};

// GCC 12 copies the sums about where the intrinsic stands in a loop.
TG_AVX512_VNNI inline void add_products(__m512i& sums, __m512i a, __m512i b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
}

// a, b: four lanes each -> two sums of a's, two sums of b's.
TG_AVX512_VNNI inline __m512i halved(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}

template <int Rows>
TG_AVX512_VNNI void horizontal_rows(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out) {
    static constexpr Gather gather;
    const __m512i places = _mm512_load_si512(gather.from);
    // A step's eight words of weights: high 01, low 01, high 23, ..., of which lane k wants those of its pixels.
    const __m512i spread_high = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6),
                  spread_low = _mm512_add_epi32(spread_high, _mm512_set1_epi32(1));
    const __m512i round = _mm512_set1_epi32(1 << (weight_bits - 1));
    // In variables of this function, because a byte that is stored could else be any of them.
    const auto* weights = axis.pairs.data();
    const auto *firsts = axis.first.data(), *counts = axis.count.data();
    const std::uint8_t* from[4];
    std::uint8_t* to[4];
    for (int r = 0; r < Rows; ++r) from[r] = in[r], to[r] = out[r];
    for (int i = 0, end = axis.out(), step = axis.stride / 2; i < end; ++i, weights += step) {
        const auto offset = static_cast<std::ptrdiff_t>(firsts[i]) * 3;
        const int count = counts[i];
        __m512i high[4], low[4];
        for (int r = 0; r < 4; ++r) high[r] = low[r] = _mm512_setzero_si512();
        for (int t = 0; t < count; t += 8) {
            const __m512i packed =
                _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + t / 2)));
            const __m512i w_high = _mm512_permutexvar_epi32(spread_high, packed),
                          w_low = _mm512_permutexvar_epi32(spread_low, packed);
            for (int r = 0; r < Rows; ++r) {
                const __m512i bytes = _mm512_castsi256_si512(
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from[r] + offset + t * 3)));
                const __m512i pixels = _mm512_maskz_permutexvar_epi8(gather.used, places, bytes);
                add_products(high[r], pixels, w_high);
                add_products(low[r], pixels, w_low);
            }
        }
        __m512i sum[4];
        for (int r = 0; r < 4; ++r) sum[r] = _mm512_add_epi32(_mm512_slli_epi32(high[r], split_bits), low[r]);
        // The four lanes of four rows -> a lane a row.
        const __m512i whole = _mm512_srai_epi32(
            _mm512_add_epi32(halved(halved(sum[0], sum[1]), halved(sum[2], sum[3])), round), weight_bits);
        alignas(16) std::uint8_t rgb0[16];
        _mm_store_si128(reinterpret_cast<__m128i*>(rgb0),
                        _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512())));
        for (int r = 0; r < Rows; ++r)
            std::memcpy(to[r] + std::ptrdiff_t{i} * 3, rgb0 + 4 * r,
                        4);  // the fourth byte is the next pixel's, or padding
    }
}

void horizontal(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out, int rows) {
    switch (rows) {
        case 1: return horizontal_rows<1>(axis, in, out);
        case 2: return horizontal_rows<2>(axis, in, out);
        case 3: return horizontal_rows<3>(axis, in, out);
        default: return horizontal_rows<4>(axis, in, out);
    }
}

}  // namespace

const ResamplePasses* avx512_passes() {
    static const bool here = avx2_passes() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
                             __builtin_cpu_supports("avx512vnni");
    static const ResamplePasses passes{horizontal, here ? avx2_passes()->vertical : nullptr};
    return here ? &passes : nullptr;
}

}  // namespace tg::pictures
#else
namespace tg::pictures {
const ResamplePasses* avx512_passes() { return nullptr; }
}  // namespace tg::pictures
#endif
