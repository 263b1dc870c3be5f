// Rows of floats as small integers, for integer products whose error is known.
#pragma once

#include <cmath>
#include <cstdint>

namespace tg::matching {

// What brings `size` to `wanted`; 1 for zero, or as good as.
inline float scale_to(float wanted, float size) {
    const float scale = wanted / size;
    return std::isfinite(scale) ? scale : 1.0f;
}

// Writes round(row * scale), which must fit; returns the length of (row - integers / scale), what is lost.
float round_row(const float* row, std::int64_t dim, float scale, std::int8_t* out);
float round_row(const float* row, std::int64_t dim, float scale, std::int16_t* out);

// A row scaled to this length in 16 bits: no sum of products of two such rows, nor a part of one, can pass 2^30.
constexpr float int16_length = 32766.0f;
// The largest that the score of two rows can be wrong by, from their lengths and what each lost: |x.y - x'.y'| <= |x -
// x'| |y| + |x'| |y - y'|, and a little for the floats that scales and sums become.
inline float rounding_error(float length, float lost, float other_length, float other_lost) {
    return lost * other_length + (length + lost) * other_lost + 0x1p-21f * length * other_length;
}

}  // namespace tg::matching
