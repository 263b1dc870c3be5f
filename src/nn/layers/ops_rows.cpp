// Element-wise steps on CPUs, one pass over memory: the loops of kernels/rows.hpp, rows shared out over threads.
#include <cmath>

#include <ATen/Parallel.h>

#include "ops_backends.hpp"
#include "taskgalaxy/nn/kernels/rows.hpp"

#ifndef INTRA_OP_PARALLEL
#error "compile with -fopenmp, as this libtorch was: without it at::parallel_for is a plain loop"
#endif

namespace tg::layers::ops::rows {
namespace {

bool lie_alike(const Tensor& x, std::initializer_list<const Tensor*> others) {
    const auto fits = [&](const Tensor* other) {
        return !other->defined() ||
               (other->is_cpu() && other->is_contiguous() && other->scalar_type() == x.scalar_type());
    };
    return has_rows(x) && x.is_contiguous() && std::all_of(others.begin(), others.end(), fits);
}

}  // namespace

bool can_layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double) {
    return lie_alike(x, {&weight, &bias}) && weight.defined() && bias.defined();
}
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
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

bool can_rms_norm(const Tensor& x, const Tensor& weight, double, Tensor*) {
    return lie_alike(x, {&weight}) && x.dim() == 2;
}
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd) {
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

bool can_rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor&,
                           const Tensor& d_residual, const Tensor&) {
    return lie_alike(x, {&d_y, &weight, &d_residual}) && x.dim() == 2;
}
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight) {
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

bool can_rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t, bool) {
    return lie_alike(x, {&cos, &sin});
}
void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward) {
    const auto T = x.size(0), D = cos.size(1), row = x.size(1);
    by_type(x, [&]<class E>(E*) {
        at::parallel_for(0, T, rows_per_task(row), [&](std::int64_t begin, std::int64_t end) {
            for (auto t = begin; t < end; ++t)
                kernels::rows::rotate(data<E>(x) + t * row, data<E>(cos) + t * D, data<E>(sin) + t * D, heads, D,
                                      backward ? -1.0f : 1.0f);
        });
    });
}

bool can_swiglu(const Tensor& gate_up) { return lie_alike(gate_up, {}); }
Tensor swiglu(const Tensor& gate_up) {
    const auto T = gate_up.size(0), F = gate_up.size(1) / 2;
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

bool can_swiglu_backward(const Tensor& d_y, const Tensor& gate_up) { return lie_alike(gate_up, {&d_y}); }
Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up) {
    const auto T = gate_up.size(0), F = gate_up.size(1) / 2;
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

bool can_attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads&, Lengths, Lengths) {
    return lie_alike(q, {&keys, &values});
}
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads, Lengths slots,
                     Lengths lengths) {
    const auto B = q.size(0), room = keys.size(2), D = heads.size, group = heads.query / heads.key_value;
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

bool can_cross_entropy(Tensor& logits, const Tensor& labels, double) {
    return logits.is_cpu() && logits.scalar_type() == torch::kFloat32 && logits.is_contiguous() &&
           labels.is_contiguous();
}
double cross_entropy(Tensor& logits, const Tensor& labels, double scale) {
    const auto N = logits.size(0), V = logits.size(1);
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

bool can_add_rows(const Tensor& table, const Tensor& ids, const Tensor& d) {
    return has_rows(d) && table.is_contiguous() && ids.is_contiguous();
}
void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d) {
    const auto H = table.size(1);
    const auto source = d.contiguous();
    by_type(source, [&]<class E>(E*) {
        for (std::int64_t t = 0; t < ids.size(0); ++t)
            kernels::rows::add(table.data_ptr<float>() + ids.data_ptr<std::int64_t>()[t] * H, data<E>(source) + t * H,
                               H);
    });
}

}  // namespace tg::layers::ops::rows
