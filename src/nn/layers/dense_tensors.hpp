// Tensors as the matrices of dense_product.hpp.
#pragma once

#include "taskgalaxy/nn/kernels/dense_product.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::layers {

inline kernels::Number number_of(const torch::Tensor& x) {
    return x.scalar_type() == torch::kBFloat16 ? kernels::Number::bf16 : kernels::Number::f32;
}

// A matrix for dense_product(): on the CPU, its rows or its columns in one piece, and not so small that packing would
// be most of the work.
inline bool can_be_dense(const torch::Tensor& x) {
    constexpr std::int64_t least = 48;
    return x.dim() == 2 && x.is_cpu() && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16) &&
           (x.stride(0) == 1 || x.stride(1) == 1) && x.size(0) >= least && x.size(1) >= least &&
           kernels::has_dense_product(number_of(x));
}

inline kernels::MatrixView view_of(const torch::Tensor& x) {
    return {x.data_ptr(), number_of(x), x.size(0), x.size(1), x.stride(0), x.stride(1)};
}
inline kernels::ProductTarget target_of(const torch::Tensor& y) { return {y.data_ptr(), number_of(y), y.stride(0)}; }

}  // namespace tg::layers
