#include "taskgalaxy/nn/layers/ops.hpp"

#include "backend.hpp"
#include "ops_backends.hpp"
#include "taskgalaxy/nn/layers/linear.hpp"

namespace tg::layers {
namespace ops {
namespace {

constexpr Implementation<decltype(aten::multiply_into)> products_into[] = {
    {Backend::narrow, narrow::can_multiply_into, narrow::multiply_into, narrow::pays_multiply_into},
    {Backend::dense, dense::can_multiply_into, dense::multiply_into, dense::pays_multiply_into},
    {Backend::wide, wide::can_multiply_into, wide::multiply_into, wide::pays_multiply_into},
    {Backend::aten, always, aten::multiply_into},
};
constexpr Implementation<decltype(aten::multiply_add)> products_with_addend[] = {
    {Backend::narrow, narrow::can_multiply_add, narrow::multiply_add, narrow::pays_multiply_add},
    {Backend::dense, dense::can_multiply_add, dense::multiply_add, dense::pays_multiply_add},
    {Backend::wide, wide::can_multiply_add, wide::multiply_add, wide::pays_multiply_add},
    {Backend::aten, always, aten::multiply_add},
};
constexpr Implementation<decltype(aten::add_product)> sums_of_products[] = {
    {Backend::dense, dense::can_add_product, dense::add_product, dense::pays_add_product},
    {Backend::wide, wide::can_add_product, wide::add_product, wide::pays_add_product},
    {Backend::aten, always, aten::add_product},
};
constexpr Implementation<decltype(aten::linear)> linears[] = {
    {Backend::dense, dense::can_linear, dense::linear, dense::pays_linear},
    {Backend::aten, always, aten::linear},
};

constexpr Implementation<decltype(aten::layer_norm)> layer_norms[] = {
    {Backend::rows, rows::can_layer_norm, rows::layer_norm},
    {Backend::aten, always, aten::layer_norm},
};
constexpr Implementation<decltype(aten::rms_norm)> rms_norms[] = {
    {Backend::cuda, cuda::can_rms_norm, cuda::rms_norm},
    {Backend::rows, rows::can_rms_norm, rows::rms_norm},
    {Backend::aten, always, aten::rms_norm},
};
constexpr Implementation<decltype(aten::rms_norm_backward)> rms_norms_backward[] = {
    {Backend::rows, rows::can_rms_norm_backward, rows::rms_norm_backward},
    {Backend::aten, always, aten::rms_norm_backward},
};
constexpr Implementation<decltype(aten::rotate)> rotations[] = {
    {Backend::rows, rows::can_rotate, rows::rotate},
    {Backend::aten, always, aten::rotate},
};
constexpr Implementation<decltype(aten::swiglu)> swiglus[] = {
    {Backend::rows, rows::can_swiglu, rows::swiglu},
    {Backend::aten, always, aten::swiglu},
};
constexpr Implementation<decltype(aten::swiglu_backward)> swiglus_backward[] = {
    {Backend::rows, rows::can_swiglu_backward, rows::swiglu_backward},
    {Backend::aten, always, aten::swiglu_backward},
};

// Where the way back needs log_sum_exp, it must be of the same backend: both choose by qkv alone.
constexpr Implementation<decltype(aten::attend)> attentions[] = {
    {Backend::wide, wide::can_attend, wide::attend, wide::pays_attend},
    {Backend::dense, dense::can_attend, dense::attend, dense::pays_attend},
    {Backend::flash, flash::can_attend, flash::attend},
    {Backend::aten, always, aten::attend},
};
constexpr Implementation<decltype(aten::attend_backward)> attentions_backward[] = {
    {Backend::wide, wide::can_attend_backward, wide::attend_backward, wide::pays_attend_backward},
    {Backend::dense, dense::can_attend_backward, dense::attend_backward, dense::pays_attend_backward},
    {Backend::flash, flash::can_attend_backward, flash::attend_backward},
    {Backend::aten, always, aten::attend_backward},
};
constexpr Implementation<decltype(aten::attend_batch)> attentions_of_batches[] = {
    {Backend::dense, dense::can_attend_batch, dense::attend_batch, dense::pays_attend_batch},
    {Backend::aten, always, aten::attend_batch},
};
constexpr Implementation<decltype(aten::attend_cached)> attentions_to_cache[] = {
    {Backend::rows, rows::can_attend_cached, rows::attend_cached},
    {Backend::aten, always, aten::attend_cached},
};

constexpr Implementation<decltype(aten::cross_entropy)> cross_entropies[] = {
    {Backend::rows, rows::can_cross_entropy, rows::cross_entropy},
    {Backend::aten, always, aten::cross_entropy},
};
constexpr Implementation<decltype(aten::add_rows)> additions_of_rows[] = {
    {Backend::rows, rows::can_add_rows, rows::add_rows},
    {Backend::aten, always, aten::add_rows},
};

}  // namespace

void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    run("multiply_into", products_into, result, a, b);
}
Tensor multiply(const Tensor& a, const Tensor& b, torch::Dtype result) {
    auto y = torch::empty({a.size(0), b.size(1)}, a.options().dtype(result));
    multiply_into(y, a, b);
    return y;
}
Tensor multiply(const Tensor& a, const Tensor& b) { return multiply(a, b, a.scalar_type()); }
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    return run("multiply_add", products_with_addend, c, a, b);
}
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
    run("add_product", sums_of_products, sum, a, b);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
    return run("layer_norm", layer_norms, x, weight, bias, eps);
}
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd) {
    return run("rms_norm", rms_norms, x, weight, eps, rstd);
}
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight) {
    return run("rms_norm_backward", rms_norms_backward, d_y, x, weight, rstd, d_residual, d_weight);
}
void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward) {
    run("rotate", rotations, x, cos, sin, heads, backward);
}
Tensor swiglu(const Tensor& gate_up) { return run("swiglu", swiglus, gate_up); }
Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up) {
    return run("swiglu_backward", swiglus_backward, d_y, gate_up);
}

Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp) {
    return run("attend", attentions, qkv, heads, starts, log_sum_exp);
}
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp) {
    return run("attend_backward", attentions_backward, d_out, qkv, out, heads, starts, log_sum_exp);
}
Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal) {
    return run("attend_batch", attentions_of_batches, qkv, heads, causal);
}
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                     Lengths lengths) {
    return run("attend_cached", attentions_to_cache, q, keys, values, heads, slots, lengths);
}

double cross_entropy(Tensor& logits, const Tensor& labels, double scale) {
    return run("cross_entropy", cross_entropies, logits, labels, scale);
}
void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d) {
    run("add_rows", additions_of_rows, table, ids, d);
}

}  // namespace ops

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     kernels::Activation activation, const torch::Tensor& residual) {
    return ops::run("linear", ops::linears, x, weight, bias, activation, residual);
}

}  // namespace tg::layers
