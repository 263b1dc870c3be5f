#include "taskgalaxy/nn/layers/ops.hpp"

#include <cmath>

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "dense_tensors.hpp"
#include "taskgalaxy/nn/kernels/attention.hpp"
#include "taskgalaxy/nn/kernels/rows.hpp"
#include "taskgalaxy/nn/layers/device.hpp"

#ifndef INTRA_OP_PARALLEL
#error "compile with -fopenmp, as this libtorch was: without it at::parallel_for is a plain loop"
#endif

namespace tg::layers::ops {
namespace {

constexpr std::int64_t grain_elements = 1 << 15;  // below this a second thread costs more than it brings
std::int64_t rows_per_task(std::int64_t row_elements) {
    return std::max<std::int64_t>(1, grain_elements / std::max<std::int64_t>(1, row_elements));
}

bool has_rows(const Tensor& x) {
    return x.is_cpu() && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16);
}

// Calls `work` with a null pointer of the element type that rows:: knows for `x`.
template <class Work> void by_type(const Tensor& x, Work&& work) {
    if (x.scalar_type() == torch::kFloat32) work(static_cast<float*>(nullptr));
    else work(static_cast<kernels::Bf16*>(nullptr));
}
template <class E> E* data(const Tensor& x) { return static_cast<E*>(x.data_ptr()); }

Tensor with_halves_swapped(const Tensor& x) {  // (a, b) -> (-b, a)
    const auto halves = x.chunk(2, -1);
    return torch::cat({-halves[1], halves[0]}, -1);
}

// bf16 on a CPU that has no instruction for it: computed in fp32.
bool computes_wide(const Tensor& x) {
    static const bool no_bf16 = !has_fast_bf16(torch::kCPU);
    return no_bf16 && x.is_cpu() && x.scalar_type() == torch::kBFloat16;
}
Tensor widened(const Tensor& x) { return x.to(torch::kFloat32); }

}  // namespace

namespace {

// Up to here reading the weights as they lie beats MKL, which packs them first (tests/benchmarks/sft.py).
constexpr std::int64_t narrow_rows = 128;

// Few rows, and the transpose of a weight matrix that lies row by row. Where bf16 is fast, ATen multiplies it faster.
bool is_narrow(const Tensor& a, const Tensor& b) {
    return has_rows(a) && a.size(0) <= narrow_rows && a.scalar_type() == b.scalar_type() && b.t().is_contiguous() &&
           (a.scalar_type() == torch::kFloat32 || computes_wide(a));
}

Tensor multiply_narrow(const Tensor& a, const Tensor& b) {  // [M,K] [K,N] -> [M,N] fp32
    const auto x = widened(a).contiguous();
    const auto M = a.size(0), K = a.size(1), N = b.size(1);
    auto y = torch::empty({M, N}, torch::kFloat32);
    by_type(b, [&]<class E>(E*) {
        at::parallel_for(0, N, rows_per_task(M * K), [&](std::int64_t begin, std::int64_t end) {
            kernels::narrow_product(data<float>(x), data<E>(b), data<float>(y), M, K, N, begin, end);
        });
    });
    return y;
}

bool is_dense(const Tensor& a, const Tensor& b) {
    return can_be_dense(a) && can_be_dense(b) && a.scalar_type() == b.scalar_type();
}

}  // namespace

void multiply_into(Tensor& result, const Tensor& a, const Tensor& b) {
    if (is_narrow(a, b)) {
        result.copy_(multiply_narrow(a, b));
    } else if (is_dense(a, b)) {
        kernels::dense_product(view_of(a), view_of(b), target_of(result));
    } else {
        const bool wide = computes_wide(a);
        const auto left = wide ? widened(a) : a, right = wide ? widened(b) : b;
        if (result.scalar_type() == left.scalar_type()) torch::mm_out(result, left, right);
        else result.copy_(torch::mm(left, right));
    }
}
Tensor multiply(const Tensor& a, const Tensor& b, torch::Dtype result) {
    auto y = torch::empty({a.size(0), b.size(1)}, a.options().dtype(result));
    multiply_into(y, a, b);
    return y;
}
Tensor multiply(const Tensor& a, const Tensor& b) { return multiply(a, b, a.scalar_type()); }

Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b) {
    if (is_narrow(a, b)) return multiply_narrow(a, b).add_(c).to(a.scalar_type());
    if (is_dense(a, b) && c.is_contiguous() && c.scalar_type() == a.scalar_type()) {
        auto y = torch::empty({a.size(0), b.size(1)}, a.options());
        auto target = target_of(y);
        if (c.dim() == 1) target.bias = c.data_ptr();
        else target.addend = c.data_ptr(), target.addend_row_stride = c.size(1);
        kernels::dense_product(view_of(a), view_of(b), target);
        return y;
    }
    return computes_wide(a) ? torch::addmm(widened(c), widened(a), widened(b)).to(a.scalar_type())
                            : torch::addmm(c, a, b);
}

void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
    if (is_dense(a, b) && sum.is_contiguous()) {
        auto target = target_of(sum);
        target.addend = sum.data_ptr();
        target.addend_row_stride = sum.size(1);
        kernels::dense_product(view_of(a), view_of(b), target);
    } else if (a.scalar_type() == torch::kFloat32) {
        sum.addmm_(a, b);
    } else if (computes_wide(a)) {
        sum.addmm_(widened(a), widened(b));
    } else {
        sum.add_(torch::mm(a, b));
    }
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
    if (!has_rows(x) || !x.is_contiguous()) return torch::layer_norm(x, {x.size(-1)}, weight, bias, eps);
    const auto H = x.size(-1), rows = x.numel() / H;
    auto y = torch::empty_like(x);
    by_type(x, [&]<class E>(E*) {
        at::parallel_for(0, rows, rows_per_task(H), [&](std::int64_t begin, std::int64_t end) {
            for (auto r = begin; r < end; ++r)
                kernels::rows::layer_norm(data<E>(x) + r * H, data<E>(weight), data<E>(bias), data<E>(y) + r * H, H,
                                          static_cast<float>(eps));
        });
    });
    return y;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd) {
    if (!has_rows(x)) {
        const auto wide = x.to(torch::kFloat32);
        const auto scale = torch::rsqrt(wide.square().mean(-1, true) + eps);
        if (rstd) *rstd = scale.squeeze(-1);
        return (wide * scale).to(x.scalar_type()) * weight;
    }
    const auto T = x.size(0), H = x.size(1);
    auto y = torch::empty_like(x);
    auto scale = torch::empty({T}, torch::kFloat32);
    by_type(x, [&]<class E>(E*) {
        at::parallel_for(0, T, rows_per_task(H), [&](std::int64_t begin, std::int64_t end) {
            for (auto t = begin; t < end; ++t)
                scale.data_ptr<float>()[t] = kernels::rows::rms_norm(data<E>(x) + t * H, data<E>(weight),
                                                                     data<E>(y) + t * H, H, static_cast<float>(eps));
        });
    });
    if (rstd) *rstd = scale;
    return y;
}

Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight) {
    if (!has_rows(x)) {
        const auto scale = rstd.unsqueeze(-1), wide = x.to(torch::kFloat32) * scale, d = d_y.to(torch::kFloat32);
        if (d_weight.defined()) d_weight.add_((d * wide).sum(0));
        const auto pulled = d * weight.to(torch::kFloat32);
        auto d_x = scale * (pulled - wide * (pulled * wide).mean(-1, true));
        if (d_residual.defined()) d_x.add_(d_residual);
        return d_x.to(x.scalar_type());
    }
    const auto T = x.size(0), H = x.size(1);
    auto d_x = torch::empty_like(x);
    // One partial sum of d_weight a thread, added in thread order: the same bits every time.
    const auto tasks = std::min<std::int64_t>(at::get_num_threads(), (T + rows_per_task(H) - 1) / rows_per_task(H));
    const auto partial = d_weight.defined() ? torch::zeros({tasks, H}, torch::kFloat32) : Tensor();
    by_type(x, [&]<class E>(E*) {
        at::parallel_for(0, tasks, 1, [&](std::int64_t first, std::int64_t last) {
            for (auto task = first; task < last; ++task)
                for (auto t = T * task / tasks; t < T * (task + 1) / tasks; ++t)
                    kernels::rows::rms_norm_backward(
                        data<E>(d_y) + t * H, data<E>(x) + t * H, data<E>(weight), rstd.data_ptr<float>()[t],
                        d_residual.defined() ? data<E>(d_residual) + t * H : nullptr, data<E>(d_x) + t * H,
                        partial.defined() ? partial.data_ptr<float>() + task * H : nullptr, H);
        });
    });
    if (d_weight.defined()) d_weight.add_(partial.sum(0));
    return d_x;
}

void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward) {
    const auto T = x.size(0), D = cos.size(1), row = x.size(1);
    if (!has_rows(x)) {
        auto turned = x.narrow(1, 0, heads * D).view({T, heads, D});
        const auto c = cos.unsqueeze(1), s = backward ? -sin.unsqueeze(1) : sin.unsqueeze(1);
        turned.copy_(turned * c + with_halves_swapped(turned) * s);
        return;
    }
    by_type(x, [&]<class E>(E*) {
        at::parallel_for(0, T, rows_per_task(row), [&](std::int64_t begin, std::int64_t end) {
            for (auto t = begin; t < end; ++t)
                kernels::rows::rotate(data<E>(x) + t * row, data<E>(cos) + t * D, data<E>(sin) + t * D, heads, D,
                                      backward ? -1.0f : 1.0f);
        });
    });
}

Tensor swiglu(const Tensor& gate_up) {
    const auto T = gate_up.size(0), F = gate_up.size(1) / 2;
    if (!has_rows(gate_up)) return torch::silu(gate_up.narrow(1, 0, F)) * gate_up.narrow(1, F, F);
    auto y = torch::empty({T, F}, gate_up.options());
    by_type(gate_up, [&]<class E>(E*) {
        at::parallel_for(0, T, rows_per_task(2 * F), [&](std::int64_t begin, std::int64_t end) {
            for (auto t = begin; t < end; ++t)
                kernels::rows::swiglu(data<E>(gate_up) + t * 2 * F, data<E>(gate_up) + t * 2 * F + F,
                                      data<E>(y) + t * F, F);
        });
    });
    return y;
}

Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up) {
    const auto T = gate_up.size(0), F = gate_up.size(1) / 2;
    if (!has_rows(gate_up)) {
        const auto gate = gate_up.narrow(1, 0, F), up = gate_up.narrow(1, F, F), sigmoid = torch::sigmoid(gate);
        return torch::cat({d_y * up * sigmoid * (1 + gate * (1 - sigmoid)), d_y * gate * sigmoid}, 1);
    }
    auto d = torch::empty_like(gate_up);
    by_type(gate_up, [&]<class E>(E*) {
        at::parallel_for(0, T, rows_per_task(2 * F), [&](std::int64_t begin, std::int64_t end) {
            for (auto t = begin; t < end; ++t) {
                const auto at_row = t * 2 * F;
                kernels::rows::swiglu_backward(data<E>(d_y) + t * F, data<E>(gate_up) + at_row,
                                               data<E>(gate_up) + at_row + F, data<E>(d) + at_row,
                                               data<E>(d) + at_row + F, F);
            }
        });
    });
    return d;
}

namespace {

// Queries, keys and values of one sequence as [key_value heads, group, S, D]: the group shares its keys by a stride of
// zero, nothing is copied.
struct Views {
    Tensor q, k, v;
};
Views views_of(const Tensor& qkv, const Heads& heads) {
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
Tensor by_heads(const Tensor& out, const Heads& heads) {  // [S, query*D] -> as Views::q
    return out.view({out.size(0), heads.key_value, heads.query / heads.key_value, heads.size}).permute({1, 2, 0, 3});
}

bool attends_densely(const Tensor& qkv) {
    return has_rows(qkv) && qkv.is_contiguous() && kernels::has_dense_product(number_of(qkv));
}
kernels::AttentionInput attention_input(const Tensor& qkv, const Heads& heads, std::span<const std::int64_t> starts) {
    return {qkv.data_ptr(), number_of(qkv), heads.query, heads.key_value, heads.size, starts};
}

}  // namespace

Tensor attend(const Tensor& qkv, const Heads& heads, std::span<const std::int64_t> starts,
              std::vector<Tensor>* log_sum_exp) {
    if (computes_wide(qkv)) return attend(widened(qkv), heads, starts, log_sum_exp).to(qkv.scalar_type());
    auto out = torch::empty({qkv.size(0), heads.query * heads.size}, qkv.options());
    if (attends_densely(qkv)) {
        if (log_sum_exp) log_sum_exp->push_back(torch::empty({heads.query, qkv.size(0)}, torch::kFloat32));
        tg::kernels::attend(attention_input(qkv, heads, starts), out.data_ptr(),
                            log_sum_exp ? log_sum_exp->back().data_ptr<float>() : nullptr);
        return out;
    }
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        const auto [q, k, v] = views_of(qkv.slice(0, starts[s], starts[s + 1]), heads);
        Tensor y, lse;
        if (qkv.is_cpu()) std::tie(y, lse) = at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, true);
        else y = at::scaled_dot_product_attention(q, k, v, {}, 0.0, true);
        by_heads(out.slice(0, starts[s], starts[s + 1]), heads).copy_(y);
        if (log_sum_exp) log_sum_exp->push_back(lse);
    }
    return out;
}

Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads,
                       std::span<const std::int64_t> starts, const std::vector<Tensor>& log_sum_exp) {
    if (computes_wide(qkv))
        return attend_backward(widened(d_out), widened(qkv), widened(out), heads, starts, log_sum_exp)
            .to(qkv.scalar_type());
    auto d_qkv = torch::empty_like(qkv);
    if (attends_densely(qkv)) {
        tg::kernels::attend_backward(attention_input(qkv, heads, starts), d_out.contiguous().data_ptr(), out.data_ptr(),
                                     log_sum_exp.front().data_ptr<float>(), d_qkv.data_ptr());
        return d_qkv;
    }
    for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        const auto rows = [&](const Tensor& x) { return x.slice(0, starts[s], starts[s + 1]); };
        const auto [q, k, v] = views_of(rows(qkv), heads);
        Tensor d_q, d_k, d_v;
        if (qkv.is_cpu()) {
            std::tie(d_q, d_k, d_v) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
                by_heads(rows(d_out), heads), q, k, v, by_heads(rows(out), heads), log_sum_exp[s], 0.0, true);
        } else {  // the fused backward of each GPU kernel has its own signature; autograd picks the right one
            const at::AutoGradMode with_grad(true);
            const auto q_leaf = q.detach().requires_grad_(), k_leaf = k.detach().requires_grad_(),
                       v_leaf = v.detach().requires_grad_();
            const auto again = at::scaled_dot_product_attention(q_leaf, k_leaf, v_leaf, {}, 0.0, true);
            const auto grads = torch::autograd::grad({again}, {q_leaf, k_leaf, v_leaf}, {by_heads(rows(d_out), heads)});
            d_q = grads[0], d_k = grads[1], d_v = grads[2];
        }
        const auto S = starts[s + 1] - starts[s], D = heads.size;
        auto target = rows(d_qkv);
        by_heads(target.narrow(1, 0, heads.query * D), heads).copy_(d_q);
        const auto put = [&](std::int64_t first_head, const Tensor& d) {
            target.narrow(1, first_head * D, heads.key_value * D)
                .view({S, heads.key_value, D})
                .permute({1, 0, 2})
                .copy_(heads.query == heads.key_value ? d.squeeze(1) : d.sum(1));
        };
        put(heads.query, d_k);
        put(heads.query + heads.key_value, d_v);
    }
    return d_qkv;
}

Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads,
                     std::span<const std::int64_t> slots, std::span<const std::int64_t> lengths) {
    const auto B = q.size(0), room = keys.size(2), D = heads.size, group = heads.query / heads.key_value;
    if (!has_rows(q)) {
        const auto longest = *std::max_element(lengths.begin(), lengths.end());
        const auto index =
            torch::tensor(std::vector<std::int64_t>(slots.begin(), slots.end()), torch::kInt64).to(q.device());
        const auto length =
            torch::tensor(std::vector<std::int64_t>(lengths.begin(), lengths.end()), torch::kInt64).to(q.device());
        const auto mask =
            (torch::arange(longest, length.options()).unsqueeze(0) < length.unsqueeze(1)).view({B, 1, 1, longest});
        const auto chosen = [&](const Tensor& x) { return x.narrow(2, 0, longest).index_select(0, index); };
        return at::scaled_dot_product_attention(q.view({B, heads.key_value, group, D}), chosen(keys), chosen(values),
                                                mask)
            .reshape({B, heads.query * D});
    }
    auto out = torch::empty({B, heads.query * D}, q.options());
    by_type(q, [&]<class E>(E*) {
        at::parallel_for(0, B * heads.key_value, 1, [&](std::int64_t begin, std::int64_t end) {
            std::vector<float> scores(static_cast<std::size_t>(room));
            for (auto task = begin; task < end; ++task) {
                const auto b = task / heads.key_value, h = task % heads.key_value;
                const auto at_query = (b * heads.query + h * group) * D,
                           at_key = (slots[static_cast<std::size_t>(b)] * heads.key_value + h) * room * D;
                kernels::rows::attend(data<E>(q) + at_query, data<E>(keys) + at_key, data<E>(values) + at_key,
                                      data<E>(out) + at_query, group, lengths[static_cast<std::size_t>(b)], D,
                                      static_cast<float>(1.0 / std::sqrt(static_cast<double>(D))), scores.data());
            }
        });
    });
    return out;
}

double cross_entropy(Tensor& logits, const Tensor& labels, double scale) {
    const auto N = logits.size(0), V = logits.size(1);
    if (!logits.is_cpu()) {
        const auto log_p = torch::log_softmax(logits, -1), column = labels.unsqueeze(1);
        const auto loss = -log_p.gather(1, column).sum(torch::kFloat64).item<double>();
        if (scale != 0) {
            torch::exp_out(logits, log_p);
            logits.scatter_add_(1, column, torch::full_like(column, -1, logits.options())).mul_(scale);
        }
        return loss;
    }
    std::vector<double> losses(static_cast<std::size_t>(N));
    at::parallel_for(0, N, rows_per_task(V), [&](std::int64_t begin, std::int64_t end) {
        for (auto n = begin; n < end; ++n)
            losses[static_cast<std::size_t>(n)] = kernels::rows::cross_entropy(
                logits.data_ptr<float>() + n * V, V, labels.data_ptr<std::int64_t>()[n], static_cast<float>(scale));
    });
    double sum = 0;
    for (const auto loss : losses) sum += loss;
    return sum;
}

void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d) {
    if (!has_rows(d)) {
        table.index_add_(0, ids, d.to(table.scalar_type()));
        return;
    }
    const auto H = table.size(1);
    const auto source = d.contiguous();
    by_type(source, [&]<class E>(E*) {
        for (std::int64_t t = 0; t < ids.size(0); ++t)
            kernels::rows::add(table.data_ptr<float>() + ids.data_ptr<std::int64_t>()[t] * H, data<E>(source) + t * H,
                               H);
    });
}

}  // namespace tg::layers::ops
