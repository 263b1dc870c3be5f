// The steps that transformer layers are made of, forward and backward. Each has several implementations, by device,
// processor, number format and shape; the fastest that can run is chosen (src/nn/layers/ops.cpp is the table), plain
// torch where there is no other. Sums in fp32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::layers::ops {

using torch::Tensor;

// a b, c + a b, and sum += a b for an fp32 sum (a gradient). A CPU that cannot multiply bf16 gets its bf16 matrices
// multiplied in fp32 and rounded once: ATen's own product of them is slower by orders of magnitude there. `result`: the
// number format, if not that of a.
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b, torch::Dtype result);
void multiply_into(Tensor& result, const Tensor& a, const Tensor& b);  // the same, in memory that is there
Tensor multiply_add(const Tensor& c, const Tensor& a, const Tensor& b);
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b);

// (x - mean) / deviation * weight + bias over the last dimension; x [..., H].
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
// y = x / rms(x) * weight; rstd [T] fp32. The quotient is rounded to the activations' type before the weight, as
// transformers does.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd = nullptr);
// d(x) + `d_residual`; adds into d_weight [H] fp32 where defined.
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                         const Tensor& d_residual, const Tensor& d_weight);

// Rotates the first `heads` heads of every row of x [T, rows >= heads*D] in place, half-split layout (both halves of
// a row of cos and sin [T, D] are alike); backward: by the negative angle.
void rotate(Tensor& x, const Tensor& cos, const Tensor& sin, std::int64_t heads, bool backward = false);

// silu(gate) * up of [T, 2F] -> [T, F].
Tensor swiglu(const Tensor& gate_up);
Tensor swiglu_backward(const Tensor& d_y, const Tensor& gate_up);

struct Heads {
    std::int64_t query, key_value, size;
};
// Causal attention inside each sequence, some of which may be empty. qkv [T, (query + 2 key_value) * size] -> [T, query
// * size]; log_sum_exp: what the way back needs of it, one tensor a sequence or one for all.
Tensor attend(const Tensor& qkv, const Heads& heads, std::span<const std::int64_t> starts,
              std::vector<Tensor>* log_sum_exp = nullptr);
Tensor attend_backward(const Tensor& d_out, const Tensor& qkv, const Tensor& out, const Heads& heads,
                       std::span<const std::int64_t> starts, const std::vector<Tensor>& log_sum_exp);
// Inference, of sequences of one length, with as many keys as queries: qkv [B,T,3H] -> [B,T,H].
Tensor attend_batch(const Tensor& qkv, std::int64_t heads, bool causal);
// One query a sequence: q [B, query * size] against the first lengths[b] rows of slot slots[b] of keys and values
// [slots, key_value, room, size].
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, const Heads& heads,
                     std::span<const std::int64_t> slots, std::span<const std::int64_t> lengths);

// Sum over rows of -log softmax(logits [N,V] fp32)[labels]; with `scale` not 0, logits become scale * the gradient.
double cross_entropy(Tensor& logits, const Tensor& labels, double scale);

// table [V,H] fp32: row ids[t] += d[t], in the order of t.
void add_rows(const Tensor& table, const Tensor& ids, const Tensor& d);

}  // namespace tg::layers::ops
