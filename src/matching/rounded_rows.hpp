// Rows of floats as small integers, for integer products whose error is known.
#pragma once

#include <cstdint>

namespace tg {

// Writes round(row * scale), which must fit; returns the length of (row - integers / scale), what is lost. A scale that is not finite (of
// a row of zeros, or as good as) counts as 1.
float round_row(const float* row, std::int64_t dim, float& scale, std::int8_t* out);
float round_row(const float* row, std::int64_t dim, float& scale, std::int16_t* out);

// A row scaled to this length in 16 bits: no sum of products of two such rows, nor a part of one, can pass 2^30.
constexpr float int16_length = 32766.0f;
// The largest that the score of two rows can be wrong by, from their lengths and what each lost: |x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|,
// and a little for the floats that scales and sums become.
inline float rounding_error(float length, float lost, float other_length, float other_lost) {
    return lost * other_length + (length + lost) * other_lost + 0x1p-21f * length * other_length;
}

}  // namespace tg
