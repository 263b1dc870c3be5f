// The two number formats that kernels read and write. Sums are fp32 in both.
#pragma once

#include <cstdint>

namespace tg::kernels {

enum class Number : std::uint8_t { f32, bf16 };

// The 16 bits of a bfloat16: the upper half of the float of the same value.
struct Bf16 {
    std::uint16_t bits;
};

}  // namespace tg::kernels
