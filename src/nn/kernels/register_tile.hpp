// The innermost loops of dense_product_avx512.cpp and attention_avx512.cpp: sums that stay in registers while two sides
// are multiplied.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "avx512.hpp"
#include "taskgalaxy/nn/kernels/dense_product.hpp"

namespace tg::kernels {

// A step multiplies 32 bits of each side: one float, or a pair of bf16.
constexpr std::int64_t numbers_a_step(Number number) { return number == Number::f32 ? 1 : 2; }
constexpr std::int64_t over(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t steps_of(std::int64_t k, Number number) { return over(k, numbers_a_step(number)); }

// sums += a * b in a word: GCC 12 copies the sums about where the intrinsic of vdpbf16ps stands in a loop.
template <Number number> TG_AVX512_INLINE void add_products(__m512& sums, __m512 a, __m512 b) {
    if constexpr (number == Number::f32) asm("vfmadd231ps %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
    else asm("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
}
template <Number number> TG_AVX512_INLINE void add_products(__m512& sums, __m512 a, const std::int32_t* b) {
    const auto& vector = *reinterpret_cast<const __m512*>(b);
    if constexpr (number == Number::f32) asm("vfmadd231ps %2, %1, %0" : "+v"(sums) : "v"(a), "m"(vector));
    else asm("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(a), "m"(vector));
}

// Rows of the left side: in panels, or as they lie.
struct LeftRows {
    const char* data;
    std::int64_t row_bytes, step_bytes;  // from row to row, from step to step
};
// Columns of the right side, 16 a vector of words; every vector at an address that is a multiple of 64.
struct RightVectors {
    const std::int32_t* data;
    std::int64_t vector_words, step_words;  // from vector to vector, from step to step
};

// tile [rows][vectors * 16] = left [rows][steps] * right [steps][vectors * 16]
template <Number number, int rows, int vectors> TG_AVX512_INLINE void multiply(const LeftRows& left, RightVectors right,
                                                                               std::int64_t steps,
                                                                               __m512 (&tile)[rows][vectors]) {
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) tile[i][v] = _mm512_setzero_ps();
    const char*
        at[(rows + 2) / 3];  // every third row: the others are one and two strides away, which an address can say
#pragma GCC unroll 5
    for (int i = 0; i < rows; i += 3) at[i / 3] = left.data + i * left.row_bytes;
    for (std::int64_t step = 0; step < steps; ++step, right.data += right.step_words) {
        constexpr int registers = 32, held = std::min(vectors, registers - rows * vectors -
                                                                   1);  // the others are read again for every row
        __m512 columns[held];
#pragma GCC unroll 4
        for (int v = 0; v < held; ++v) columns[v] = _mm512_load_ps(right.data + v * right.vector_words);
#pragma GCC unroll 14
        for (int i = 0; i < rows; ++i) {
            float step_of_row;
            std::memcpy(&step_of_row, at[i / 3] + i % 3 * left.row_bytes, sizeof step_of_row);
            const __m512 row = _mm512_set1_ps(step_of_row);
#pragma GCC unroll 4
            for (int v = 0; v < held; ++v) add_products<number>(tile[i][v], row, columns[v]);
#pragma GCC unroll 4
            for (int v = held; v < vectors; ++v)
                add_products<number>(tile[i][v], row, right.data + v * right.vector_words);
        }
#pragma GCC unroll 5
        for (auto& row : at) row += left.step_bytes;
    }
}

// Memory of a thread that stays from call to call.
inline std::int32_t* scratch(std::vector<std::int32_t>& memory, std::int64_t words) {
    const auto wanted =
        static_cast<std::size_t>(words) + 2 * lanes;  // to begin at a line, and for the last vector stored
    if (memory.size() < wanted) memory.resize(wanted);
    void* begin = memory.data();
    auto room = memory.size() * sizeof(std::int32_t);
    return static_cast<std::int32_t*>(
        std::align(64, static_cast<std::size_t>(words) * sizeof(std::int32_t), begin, room));
}

// 16 rows of 16 words, turned.
TG_AVX512_INLINE void transpose(__m512i (&r)[lanes]) {
    __m512i t[lanes];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2)
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]), r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]), r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88),
              t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88),
              r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

}  // namespace tg::kernels
