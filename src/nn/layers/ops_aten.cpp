// Plain torch on every device: slow in places, but simple; the other backends are tested against it.
#include <torch/csrc/autograd/autograd.h>

#include "ops_backends.hpp"

namespace tg::layers::ops {

AttentionViews views_of(const Tensor& qkv, const Heads& heads) {
    const auto S = qkv.size(0), D = heads.size, group = heads.query / heads.key_value;
    const auto shared = [&](std::int64_t first_head) {
        return qkv.narrow(1, first_head * D, heads.key_value * D)
            .view({S, heads.key_value, 1, D})
            .permute({1, 2, 0, 3})
            .expand({heads.key_value, group, S, D});
    };
    return {qkv.narrow(1, 0, heads.query * D).view({S, heads.key_value, group, D}).permute({1, 2, 0, 3}),
            shared(heads.query), shared(heads.query + heads.key_value)};
}

Tensor by_heads(const Tensor& out, const Heads& heads) {
    return out.view({out.size(0), heads.key_value, heads.query / heads.key_value, heads.size}).permute({1, 2, 0, 3});
}

void put_gradients(Tensor d_qkv, const AttentionViews& d, const Heads& heads) {
    const auto S = d_qkv.size(0), D = heads.size;
    by_heads(d_qkv.narrow(1, 0, heads.query * D), heads).copy_(d.q);
    const auto put = [&](std::int64_t first_head, const Tensor& part) {
        d_qkv.narrow(1, first_head * D, heads.key_value * D)
            .view({S, heads.key_value, D})
            .permute({1, 0, 2})
            .copy_(heads.query == heads.key_value ? part.squeeze(1) : part.sum(1));
    };
    put(heads.query, d.k);
    put(heads.query + heads.key_value, d.v);
}

namespace aten {
namespace {

void activate(Tensor& x, kernels::Activation activation) {
    switch (activation) {
        case kernels::Activation::none: break;
        case kernels::Activation::silu: torch::silu_(x); break;
        case kernels::Activation::gelu: at::gelu_(x, "none"); break;
        case kernels::Activation::gelu_tanh: at::gelu_(x, "tanh"); break;
    }
}

Tensor with_halves_swapped(const Tensor& x) {  // (a, b) -> (-b, a)
    const auto halves = x.chunk(2, -1);
    return torch::cat({-halves[1], halves[0]}, -1);
}

Tensor tensor_of(Lengths numbers, const torch::Device& device) {
    return torch::tensor(std::vector<std::int64_t>(numbers.begin(), numbers.end()), torch::kInt64).to(device);
}

}  // namespace

void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    if (result.scalar_type() == a.scalar_type()) torch::mm_out(result, a, b);
    else result.copy_(torch::mm(a, b));
}

Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) { return torch::addmm(c, a, b); }

void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
    if (a.scalar_type() == torch::kFloat32) sum.addmm_(a, b);
    else sum.add_(torch::mm(a, b));
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
              const Tensor& residual) {
    auto y = torch::linear(x, weight, bias);
    activate(y, activation);
    return residual.defined() ? y.add_(residual) : y;
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
    return torch::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd) {
    const auto wide = x.to(torch::kFloat32);
    const auto scale = torch::rsqrt(wide.square().mean(-1, true) + eps);
    if (rstd) *rstd = scale.squeeze(-1);
    return (wide * scale).to(x.scalar_type()) * weight;
}

Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight) {
    const auto scale = rstd.unsqueeze(-1), wide = x.to(torch::kFloat32) * scale, d = d_y.to(torch::kFloat32);
    if (d_weight.defined()) d_weight.add_((d * wide).sum(0));
    const auto pulled = d * weight.to(torch::kFloat32);
    auto d_x = scale * (pulled - wide * (pulled * wide).mean(-1, true));
    if (d_residual.defined()) d_x.add_(d_residual);
    return d_x.to(x.scalar_type());
}

void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward) {
    const auto T = x.size(0), D = cos.size(1);
    auto turned = x.narrow(1, 0, heads * D).view({T, heads, D});
    const auto c = cos.unsqueeze(1), s = backward ? -sin.unsqueeze(1) : sin.unsqueeze(1);
    turned.copy_(turned * c + with_halves_swapped(turned) * s);
}

Tensor swiglu(const Tensor& gate_up) {
    const auto F = gate_up.size(1) / 2;
    return torch::silu(gate_up.narrow(1, 0, F)) * gate_up.narrow(1, F, F);
}

Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up) {
    const auto F = gate_up.size(1) / 2;
    const auto gate = gate_up.narrow(1, 0, F), up = gate_up.narrow(1, F, F), sigmoid = torch::sigmoid(gate);
    return torch::cat({d_y * up * sigmoid * (1 + gate * (1 - sigmoid)), d_y * gate * sigmoid}, 1);
}

Tensor attend(const Tensor& qkv, const Heads& heads, Lengths starts, LogSumExp* log_sum_exp) {
    auto out = torch::empty({qkv.size(0), heads.query * heads.size}, qkv.options());
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        if (starts[s] == starts[s + 1]) continue;  // libtorch divides by its length
        const auto [q, k, v] = views_of(qkv.slice(0, starts[s], starts[s + 1]), heads);
        by_heads(out.slice(0, starts[s], starts[s + 1]), heads)
            .copy_(at::scaled_dot_product_attention(q, k, v, {}, 0.0, true));
    }
    if (log_sum_exp) log_sum_exp->resize(log_sum_exp->size() + starts.size() - 1);
    return out;
}

Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor&, const Heads& heads, Lengths starts,
                       const LogSumExp&) {
    auto d_qkv = torch::empty_like(qkv);
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        if (starts[s] == starts[s + 1]) continue;
        const auto rows = [&](const Tensor& x) { return x.slice(0, starts[s], starts[s + 1]); };
        const auto [q, k, v] = views_of(rows(qkv), heads);
        // The fused backward of each GPU kernel has its own signature; autograd picks the right one.
        const at::AutoGradMode with_grad(true);
        const auto q_leaf = q.detach().requires_grad_(), k_leaf = k.detach().requires_grad_(),
                   v_leaf = v.detach().requires_grad_();
        const auto again = at::scaled_dot_product_attention(q_leaf, k_leaf, v_leaf, {}, 0.0, true);
        const auto grads = torch::autograd::grad({again}, {q_leaf, k_leaf, v_leaf}, {by_heads(rows(d_out), heads)});
        put_gradients(rows(d_qkv), {grads[0], grads[1], grads[2]}, heads);
    }
    return d_qkv;
}

Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal) {
    const auto B = qkv.size(0), T = qkv.size(1), H = qkv.size(2) / 3;
    const auto parts = qkv.chunk(3, -1);
    const auto split = [&](const Tensor& x) { return x.view({B, T, heads, H / heads}).transpose(1, 2); };
    return at::scaled_dot_product_attention(split(parts[0]), split(parts[1]), split(parts[2]), {}, 0.0, causal)
        .transpose(1, 2)
        .reshape({B, T, H});
}

Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                     Lengths lengths) {
    const auto B = q.size(0), D = heads.size, group = heads.query / heads.key_value;
    const auto longest = *std::max_element(lengths.begin(), lengths.end());
    const auto index = tensor_of(slots, q.device()), length = tensor_of(lengths, q.device());
    const auto mask =
        (torch::arange(longest, length.options()).unsqueeze(0) < length.unsqueeze(1)).view({B, 1, 1, longest});
    const auto chosen = [&](const Tensor& x) { return x.narrow(2, 0, longest).index_select(0, index); };
    return at::scaled_dot_product_attention(q.view({B, heads.key_value, group, D}), chosen(keys), chosen(values), mask)
        .reshape({B, heads.query * D});
}

double cross_entropy(Tensor& logits, const Tensor& labels, double scale) {
    const auto log_p = torch::log_softmax(logits, -1), column = labels.unsqueeze(1);
    const auto loss = -log_p.gather(1, column).sum(torch::kFloat64).item<double>();
    if (scale != 0) {
        torch::exp_out(logits, log_p);
        logits.scatter_add_(1, column, torch::full_like(column, -1, logits.options())).mul_(scale);
    }
    return loss;
}

void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d) {
    table.index_add_(0, ids, d.to(table.scalar_type()));
}

}  // namespace aten
}  // namespace tg::layers::ops
