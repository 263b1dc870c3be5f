// libtorch's own attention for CPUs, which gives the way back what it needs.
#include "ops_backends.hpp"

namespace tg::layers::ops::flash {

bool can_attend(const Tensor& qkv, const Heads&, Lengths, LogSumExp*) { return qkv.is_cpu(); }
Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp) {
    auto out = torch::empty({qkv.size(0), heads.query * heads.size}, qkv.options());
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        if (log_sum_exp) log_sum_exp->emplace_back();
        if (starts[s] == starts[s + 1]) continue;  // libtorch divides by its length
        const auto [q, k, v] = views_of(qkv.slice(0, starts[s], starts[s + 1]), heads);
        const auto [y, lse] = at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, true);
        by_heads(out.slice(0, starts[s], starts[s + 1]), heads).copy_(y);
        if (log_sum_exp) log_sum_exp->back() = lse;
    }
    return out;
}

bool can_attend_backward(const Tensor&, const Tensor& qkv, const Tensor&, const Heads&, Lengths, const LogSumExp&) {
    return qkv.is_cpu();
}
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads, Lengths starts,
                       const LogSumExp& log_sum_exp) {
    auto d_qkv = torch::empty_like(qkv);
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        if (starts[s] == starts[s + 1]) continue;
        const auto rows = [&](const Tensor& x) { return x.slice(0, starts[s], starts[s + 1]); };
        const auto [q, k, v] = views_of(rows(qkv), heads);
        const auto [d_q, d_k, d_v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
            by_heads(rows(d_out), heads), q, k, v, by_heads(rows(out), heads), log_sum_exp[s], 0.0, true);
        put_gradients(rows(d_qkv), {d_q, d_k, d_v}, heads);
    }
    return d_qkv;
}

}  // namespace tg::layers::ops::flash
