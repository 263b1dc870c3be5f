// Products of large matrices and attention of whole sequences on processors with AVX-512 (kernels/dense_product.hpp,
// kernels/attention.hpp).
#include <stdexcept>

#include "ops_backends.hpp"
#include "taskgalaxy/nn/kernels/attention.hpp"

namespace tg::layers::ops::dense {
namespace {

kernels::Number number_of(const Tensor& x) {
    return x.scalar_type() == torch::kBFloat16 ? kernels::Number::bf16 : kernels::Number::f32;
}
kernels::MatrixView view_of(const Tensor& x) {
    return {x.data_ptr(), number_of(x), x.size(0), x.size(1), x.stride(0), x.stride(1)};
}
kernels::ProductTarget target_of(const Tensor& y) { return {y.data_ptr(), number_of(y), y.stride(0)}; }

// A matrix whose rows or columns lie in one piece, of numbers that this processor multiplies.
bool can_be_factor(const Tensor& x) {
    return has_rows(x) && x.dim() == 2 && (x.stride(0) == 1 || x.stride(1) == 1) &&
           kernels::can_dense_product(number_of(x));
}
// Not so small that packing would be most of the work.
bool pays_as_factor(const Tensor& x) {
    constexpr std::int64_t least = 48;
    return x.size(0) >= least && x.size(1) >= least && kernels::has_dense_product(number_of(x));
}
bool can_multiply(const Tensor& a, const Tensor& b) {
    return a.scalar_type() == b.scalar_type() && can_be_factor(a) && can_be_factor(b);
}
bool pays_multiply(const Tensor& a, const Tensor& b) { return pays_as_factor(a) && pays_as_factor(b); }

// `product` multiplies the rows of x, of the weights' number format, into a target.
template <class Product> Tensor linear_by(const Tensor& x, kernels::Number number, std::int64_t outputs,
                                          const Tensor& bias, kernels::Activation activation, const Tensor& residual,
                                          Product&& product) {
    for (const auto* other : {&x, &bias, &residual})
        if (other->defined() && number_of(*other) != number)
            throw std::logic_error("a linear layer of one number format was given another");
    auto shape = x.sizes().vec();
    shape.back() = outputs;
    const auto rows = x.reshape({-1, x.size(-1)}).contiguous();
    auto y = torch::empty(shape, x.options());
    auto target = target_of(y.view({-1, outputs}));
    target.activation = activation;
    const auto added = residual.defined() ? residual.contiguous() : Tensor();
    if (bias.defined()) target.bias = bias.data_ptr();
    if (added.defined()) target.addend = added.data_ptr(), target.addend_row_stride = outputs;
    product(view_of(rows), target);
    return y;
}

bool can_be_attended(const Tensor& qkv) {
    return has_rows(qkv) && qkv.is_contiguous() && kernels::can_dense_product(number_of(qkv));
}
kernels::AttentionInput attention_input(const Tensor& qkv, const Heads& heads, Lengths starts) {
    return {qkv.data_ptr(), number_of(qkv), heads.query, heads.key_value, heads.size, starts};
}

}  // namespace

bool can_multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    return can_multiply(a, b) && has_rows(result) && result.stride(1) == 1;
}
bool pays_multiply_into(Tensor&, const Tensor& a, const Tensor& b) { return pays_multiply(a, b); }
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    kernels::dense_product(view_of(a), view_of(b), target_of(result));
}

bool can_multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    return can_multiply(a, b) && c.is_contiguous() && c.scalar_type() == a.scalar_type() &&
           (c.dim() == 1 || c.size(0) == a.size(0));
}
bool pays_multiply_add(const Tensor&, const Tensor& a, const Tensor& b) { return pays_multiply(a, b); }
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    auto y = torch::empty({a.size(0), b.size(1)}, a.options());
    auto target = target_of(y);
    if (c.dim() == 1) target.bias = c.data_ptr();
    else target.addend = c.data_ptr(), target.addend_row_stride = c.size(1);
    kernels::dense_product(view_of(a), view_of(b), target);
    return y;
}

bool can_add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
    return can_multiply(a, b) && has_rows(sum) && sum.is_contiguous();
}
bool pays_add_product(const Tensor&, const Tensor& a, const Tensor& b) { return pays_multiply(a, b); }
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
    auto target = target_of(sum);
    target.addend = sum.data_ptr();
    target.addend_row_stride = sum.size(1);
    kernels::dense_product(view_of(a), view_of(b), target);
}

bool can_linear(const Tensor&, const Tensor& weight, const Tensor&, kernels::Activation, const Tensor&) {
    return can_be_factor(weight);
}
bool pays_linear(const Tensor&, const Tensor& weight, const Tensor&, kernels::Activation, const Tensor&) {
    return pays_as_factor(weight);
}
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
              const Tensor& residual) {
    return linear_by(x, number_of(weight), weight.size(0), bias, activation, residual,
                     [&](const kernels::MatrixView& rows, const kernels::ProductTarget& target) {
                         kernels::dense_product(rows, view_of(weight).transposed(), target);
                     });
}

bool pays_packing(const Tensor& weight) { return can_be_factor(weight) && pays_as_factor(weight); }
kernels::PackedMatrix packed(const Tensor& weight) { return kernels::PackedMatrix(view_of(weight).transposed()); }
Tensor linear_packed(const Tensor& x, const kernels::PackedMatrix& weight, const Tensor& bias,
                     kernels::Activation activation, const Tensor& residual) {
    return linear_by(x, weight.number(), weight.columns(), bias, activation, residual,
                     [&](const kernels::MatrixView& rows, const kernels::ProductTarget& target) {
                         kernels::dense_product(rows, weight, target);
                     });
}

bool can_attend(const Tensor& qkv, const Heads&, Lengths, LogSumExp*) { return can_be_attended(qkv); }
bool pays_attend(const Tensor& qkv, const Heads&, Lengths, LogSumExp*) {
    return kernels::has_dense_product(number_of(qkv));
}
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp) {
    auto out = torch::empty({qkv.size(0), heads.query * heads.size}, qkv.options());
    if (log_sum_exp) log_sum_exp->push_back(torch::empty({heads.query, qkv.size(0)}, torch::kFloat32));
    kernels::attend(attention_input(qkv, heads, starts), out.data_ptr(),
                    log_sum_exp ? log_sum_exp->back().data_ptr<float>() : nullptr);
    return out;
}

bool can_attend_backward(const Tensor&, const Tensor& qkv, const Tensor&, const Heads&, Lengths, const LogSumExp&) {
    return can_be_attended(qkv);
}
bool pays_attend_backward(const Tensor&, const Tensor& qkv, const Tensor&, const Heads&, Lengths, const LogSumExp&) {
    return kernels::has_dense_product(number_of(qkv));
}
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp) {
    auto d_qkv = torch::empty_like(qkv);
    kernels::attend_backward(attention_input(qkv, heads, starts), d_out.contiguous().data_ptr(), out.data_ptr(),
                             log_sum_exp.front().data_ptr<float>(), d_qkv.data_ptr());
    return d_qkv;
}

bool can_attend_batch(const Tensor& qkv, std::int64_t, bool) { return can_be_attended(qkv); }
bool pays_attend_batch(const Tensor& qkv, std::int64_t, bool) { return kernels::has_dense_product(number_of(qkv)); }
Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal) {
    const auto B = qkv.size(0), T = qkv.size(1), H = qkv.size(2) / 3;
    std::vector<std::int64_t> starts;
    for (std::int64_t b = 0; b <= B; ++b) starts.push_back(b * T);
    auto out = torch::empty({B, T, H}, qkv.options());
    auto input = attention_input(qkv, {heads, heads, H / heads}, starts);
    input.causal = causal;
    kernels::attend(input, out.data_ptr(), nullptr);
    return out;
}

}  // namespace tg::layers::ops::dense
