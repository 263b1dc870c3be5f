// bf16 on a CPU without instructions for it: the same operator once more in fp32, rounded once. ATen's own product of
// such matrices is slower by orders of magnitude there.
#include "ops_backends.hpp"
#include "taskgalaxy/nn/layers/device.hpp"

namespace tg::layers::ops::wide {
namespace {

bool is_half(const Tensor& x) { return x.is_cpu() && x.scalar_type() == torch::kBFloat16; }
bool without_instructions() {
    static const bool fast_bf16 = has_fast_bf16(torch::kCPU);
    return !fast_bf16;
}
Tensor widened(const Tensor& x) { return x.to(torch::kFloat32); }

}  // namespace

bool can_multiply_into(Tensor&, const Tensor& a, const Tensor&) { return is_half(a); }
bool pays_multiply_into(Tensor&, const Tensor&, const Tensor&) { return without_instructions(); }
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    ops::multiply_into(result, widened(a), widened(b));
}

bool can_multiply_add(const Tensor&, const Tensor& a, const Tensor&) { return is_half(a); }
bool pays_multiply_add(const Tensor&, const Tensor&, const Tensor&) { return without_instructions(); }
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    return ops::multiply_add(widened(c), widened(a), widened(b)).to(a.scalar_type());
}

bool can_add_product(const Tensor&, const Tensor& a, const Tensor&) { return is_half(a); }
bool pays_add_product(const Tensor&, const Tensor&, const Tensor&) { return without_instructions(); }
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) { ops::add_product(sum, widened(a), widened(b)); }

bool can_attend(const Tensor& qkv, const Heads&, Lengths, LogSumExp*) { return is_half(qkv); }
bool pays_attend(const Tensor&, const Heads&, Lengths, LogSumExp*) { return without_instructions(); }
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp) {
    return ops::attend(widened(qkv), heads, starts, log_sum_exp).to(qkv.scalar_type());
}

bool can_attend_backward(const Tensor&, const Tensor& qkv, const Tensor&, const Heads&, Lengths, const LogSumExp&) {
    return is_half(qkv);
}
bool pays_attend_backward(const Tensor&, const Tensor&, const Tensor&, const Heads&, Lengths, const LogSumExp&) {
    return without_instructions();
}
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp) {
    return ops::attend_backward(widened(d_out), widened(qkv), widened(out), heads, starts, log_sum_exp)
        .to(qkv.scalar_type());
}

}  // namespace tg::layers::ops::wide
