// What each backend offers: the operators of ops.hpp, with their meaning from there, in a namespace a backend, and
// whether they can run on given tensors. ops.cpp chooses. Helpers that several of them need stand at the end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "taskgalaxy/nn/kernels/dense_product.hpp"
#include "taskgalaxy/nn/layers/ops.hpp"

namespace tg::layers::ops {

using Lengths = std::span<const std::int64_t>;
using LogSumExp = std::vector<Tensor>;

namespace aten {
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
              const Tensor& residual);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd);
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight);
void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward);
Tensor swiglu(const Tensor& gate_up);
Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up);
// Leaves the log_sum_exp of every sequence undefined: the way back computes the way forward again.
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp);
Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal);
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                     Lengths lengths);
double cross_entropy(Tensor& logits, const Tensor& labels, double scale);
void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d);
}  // namespace aten

namespace rows {
bool can_layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
bool can_rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd);
bool can_rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                           const Tensor& d_residual, const Tensor& d_weight);
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight);
bool can_rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward);
void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward);
bool can_swiglu(const Tensor& gate_up);
Tensor swiglu(const Tensor& gate_up);
bool can_swiglu_backward(const Tensor& d_y, const Tensor& gate_up);
Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up);
bool can_attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                       Lengths lengths);
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                     Lengths lengths);
bool can_cross_entropy(Tensor& logits, const Tensor& labels, double scale);
double cross_entropy(Tensor& logits, const Tensor& labels, double scale);
bool can_add_rows(const Tensor& table, const Tensor& ids, const Tensor& d);
void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d);
}  // namespace rows

namespace narrow {
bool can_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool pays_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool can_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
bool pays_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
}  // namespace narrow

namespace dense {
bool can_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool pays_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool can_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
bool pays_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
bool can_add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
bool pays_add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b);

bool can_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
                const Tensor& residual);
bool pays_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
                 const Tensor& residual);
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
              const Tensor& residual);
// For weights [N,K] that are multiplied again and again: whether it pays to pack them, and then the product with them.
bool pays_packing(const Tensor& weight);
kernels::PackedMatrix packed(const Tensor& weight);
Tensor linear_packed(const Tensor& x, const kernels::PackedMatrix& weight, const Tensor& bias,
                     kernels::Activation activation, const Tensor& residual);

bool can_attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
bool pays_attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
// One log_sum_exp [query heads, T] for all sequences.
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
bool can_attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                         const LogSumExp& log_sum_exp);
bool pays_attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                          const LogSumExp& log_sum_exp);
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp);
bool can_attend_batch(const Tensor& qkv, std::int64_t heads, bool causal);
bool pays_attend_batch(const Tensor& qkv, std::int64_t heads, bool causal);
Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal);
}  // namespace dense

namespace wide {
bool can_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool pays_multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b);
bool can_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
bool pays_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
bool can_add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
bool pays_add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b);
bool can_attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
bool pays_attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
bool can_attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                         const LogSumExp& log_sum_exp);
bool pays_attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                          const LogSumExp& log_sum_exp);
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp);
}  // namespace wide

namespace flash {
bool can_attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
// One log_sum_exp a sequence.
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp);
bool can_attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                         const LogSumExp& log_sum_exp);
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp);
}  // namespace flash

namespace cuda {
bool can_rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd);
}  // namespace cuda

// On the CPU, in a number format that its kernels know.
inline bool has_rows(const Tensor& x) {
    return x.is_cpu() && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16);
}

// Below this many elements a second thread costs more than it brings.
inline std::int64_t rows_per_task(std::int64_t row_elements) {
    constexpr std::int64_t grain_elements = 1 << 15;
    return std::max<std::int64_t>(1, grain_elements / std::max<std::int64_t>(1, row_elements));
}

// Calls `work` with a null pointer of the element type that kernels know for `x`.
template <class Work> void by_type(const Tensor& x, Work&& work) {
    if (x.scalar_type() == torch::kFloat32) work(static_cast<float*>(nullptr));
    else work(static_cast<kernels::Bf16*>(nullptr));
}
template <class E> E* data(const Tensor& x) { return static_cast<E*>(x.data_ptr()); }

// Queries, keys and values of one sequence as [key_value heads, group, S, D]: the group shares its keys by a stride of
// zero, nothing is copied.
struct AttentionViews {
    Tensor q, k, v;
};
AttentionViews views_of(const Tensor& qkv, const Heads& heads);
Tensor by_heads(const Tensor& out, const Heads& heads);  // [S, query*D] -> as AttentionViews::q
// Gradients of views_of() -> rows of d_qkv; those of keys and values are summed over the group.
void put_gradients(Tensor d_qkv, const AttentionViews& d, const Heads& heads);

}  // namespace tg::layers::ops
