// A few rows times a weight matrix that lies row by row (kernels/narrow_product.hpp).
#include <ATen/Parallel.h>

#include "ops_backends.hpp"
#include "taskgalaxy/nn/kernels/narrow_product.hpp"
#include "taskgalaxy/nn/layers/device.hpp"

#ifndef INTRA_OP_PARALLEL
#error "compile with -fopenmp, as this libtorch was: without it at::parallel_for is a plain loop"
#endif

namespace tg::layers::ops::narrow {
namespace {

// Up to here reading the weights as they lie beats MKL, which packs them first (tests/benchmarks/sft.py).
constexpr std::int64_t most_rows = 128;

// The transpose of a weight matrix that lies row by row.
bool can_multiply(const Tensor& a, const Tensor& b) {
    return has_rows(a) && a.scalar_type() == b.scalar_type() && b.is_cpu() && b.t().is_contiguous();
}
// Where bf16 is fast, ATen multiplies it faster.
bool pays_multiply(const Tensor& a) {
    static const bool fast_bf16 = has_fast_bf16(torch::kCPU);
    return a.size(0) <= most_rows && (a.scalar_type() == torch::kFloat32 || !fast_bf16);
}

Tensor product(const Tensor& a, const Tensor& b) {  // [M,K] [K,N] -> [M,N] fp32
    const auto x = a.to(torch::kFloat32).contiguous();
    const auto M = a.size(0), K = a.size(1), N = b.size(1);
    auto y = torch::empty({M, N}, torch::kFloat32);
    by_type(b, [&]<class E>(E*) {
        at::parallel_for(0, N, rows_per_task(M * K), [&](std::int64_t begin, std::int64_t end) {
            kernels::narrow_product(data<float>(x), data<E>(b), data<float>(y), M, K, N, begin, end);
        });
    });
    return y;
}

}  // namespace

bool can_multiply_into(Tensor&, const Tensor& a, const Tensor& b) { return can_multiply(a, b); }
bool pays_multiply_into(Tensor&, const Tensor& a, const Tensor&) { return pays_multiply(a); }
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) { result.copy_(product(a, b)); }

bool can_multiply_add(const Tensor&, const Tensor& a, const Tensor& b) { return can_multiply(a, b); }
bool pays_multiply_add(const Tensor&, const Tensor& a, const Tensor&) { return pays_multiply(a); }
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    return product(a, b).add_(c).to(a.scalar_type());
}

}  // namespace tg::layers::ops::narrow
