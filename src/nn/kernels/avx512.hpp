// Vectors of 16 floats for the files named _avx512, which run only where can_dense_product() says so: loads and stores
// in both number formats, exp and sigmoid. Stores under a mask are slow on some processors, hence `whole`: all 16
// lanes.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "taskgalaxy/nn/kernels/number.hpp"

// The instructions of avx512bf16 are reached only with numbers in bf16.
#define TG_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define TG_AVX512_INLINE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), always_inline)) inline

namespace tg::kernels {

inline constexpr std::int64_t lanes = 16;

// The first `count` lanes; all of them above 15, none below 1.
constexpr __mmask16 lane_mask(std::int64_t count) {
    return static_cast<__mmask16>(count >= lanes ? 0xFFFFu : count <= 0 ? 0u : (1u << count) - 1);
}
inline constexpr __mmask16 all_lanes = lane_mask(lanes);

TG_AVX512_INLINE __m512 load(const float* from, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, from); }
TG_AVX512_INLINE __m512 load(const Bf16* from, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16));
}

template <bool whole> TG_AVX512_INLINE void store(float* to, __mmask16 mask, __m512 x) {
    if constexpr (whole) _mm512_storeu_ps(to, x);
    else _mm512_mask_storeu_ps(to, mask, x);
}
template <bool whole> TG_AVX512_INLINE void store(Bf16* to, __mmask16 mask, __m512 x) {
    const auto rounded = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));  // to nearest, ties to even
    if constexpr (whole) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
    else _mm256_mask_storeu_epi16(to, mask, rounded);
}

// exp(x) to two units in the last place, for x up to 88; what is no number stays none. The polynomial is that of expf
// in the Cephes library (Moshier).
TG_AVX512_INLINE __m512 exponential(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-104), x);  // in this order NaN comes through
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    for (const float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(next));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1)));
    return _mm512_scalef_ps(p, n);
}

// 1 / x for x in [2^-120, 2^120]: an estimate and a step of Newton's.
TG_AVX512_INLINE __m512 reciprocal(__m512 x) {
    const __m512 y = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2)));
}

// 2^t as 2^floor(t) times a polynomial of what is left of t: at most 1.03e-4 off. For results in bf16, where rounding
// costs 39e-4.
TG_AVX512_INLINE __m512 rough_power_of_two(__m512 t) {
    const __m512 left = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(0.07826797f);
    for (const float next : {0.22630768f, 0.69542435f, 1.0f}) p = _mm512_fmadd_ps(p, left, _mm512_set1_ps(next));
    return _mm512_scalef_ps(p, t);
}

// x / (1 + exp(-z)), for the activations that are a share of x: of a result that is rounded to E.
template <class E> TG_AVX512_INLINE __m512 times_sigmoid(__m512 x, __m512 z) {
    if constexpr (std::is_same_v<E, float>) {
        const __m512 least = _mm512_set1_ps(-80),
                     power = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_max_ps(least, z)));
        return _mm512_maskz_mul_ps(_mm512_cmp_ps_mask(z, least, _CMP_NLT_UQ), x,
                                   reciprocal(_mm512_add_ps(power, _mm512_set1_ps(1))));  // nothing is left below
    } else {  // the estimate of the reciprocal is at most 0.61e-4 off
        return _mm512_mul_ps(
            x, _mm512_rcp14_ps(_mm512_add_ps(rough_power_of_two(_mm512_mul_ps(z, _mm512_set1_ps(-1.44269504f))),
                                             _mm512_set1_ps(1))));
    }
}

}  // namespace tg::kernels
