// A few rows times a large weight matrix: what answering word by word is made of. A BLAS packs the weights anew for
// each product, which takes longer than multiplying them by a few rows; here they are read once, as they lie, while the
// next ones are fetched.
#pragma once

#include <cstdint>

#include "taskgalaxy/nn/kernels/number.hpp"

namespace tg::kernels {

// y[i, j] = sum over c of x[i, c] * w[j, c], for begin <= j < end. x [m,k], w [n,k] and y [m,n] row by row; sums are
// fp32. A row of y does not depend on the other rows of x, to the bit. y overlaps neither x nor w; no alignment is
// asked for. Works on the calling thread alone: several may share a product by their columns.
void narrow_product(const float* x, const float* w, float* y, std::int64_t m, std::int64_t k, std::int64_t n,
                    std::int64_t begin, std::int64_t end);
void narrow_product(const float* x, const Bf16* w, float* y, std::int64_t m, std::int64_t k, std::int64_t n,
                    std::int64_t begin, std::int64_t end);

}  // namespace tg::kernels
