// The pre-norm transformer encoder of pictures and texts: x += attention(norm1(x)); x += mlp(norm2(x)). Inference only.
// Weight names (layers.0.layer_norm1, .self_attn.q_proj, .mlp.fc1, ...) and numerics as in the dual encoders of
// transformers; nn/models names the files. Letters of shapes: B sequences, T positions, H channels, N heads, D = H / N,
// R rows a sequence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/nn/layers/linear.hpp"
#include "taskgalaxy/nn/layers/ops.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/weights.hpp"

namespace tg::layers {

// What stands between the two layers of an MLP, activation(scale * x): quick GELU, x * sigmoid(1.702 x), is SiLU
// with 1.702 multiplied into the first layer and divided out of the second.
struct HiddenActivation {
    kernels::Activation activation = kernels::Activation::silu;
    double scale = 1.702;
};
// The name in config.json ("hidden_act"); throws InputError with `where` for one that is not known.
HiddenActivation activation_of(std::string_view name, const std::string& where);

struct EncoderShape {
    std::int64_t hidden = 0, mlp = 0, layers = 0, heads = 0;
    double norm_eps = 1e-5;
    HiddenActivation activation;
};

struct LayerNorm {
    torch::Tensor weight, bias;  // [H]
    double eps = 1e-5;
    LayerNorm() = default;
    LayerNorm(WeightReader& weights, const std::string& name, std::int64_t hidden, double norm_eps)
        : weight(weights(name + ".weight", {hidden})), bias(weights(name + ".bias", {hidden})), eps(norm_eps) {}
    torch::Tensor operator()(const torch::Tensor& x) const { return ops::layer_norm(x, weight, bias, eps); }
};

// fc1, activation, fc2, of plain tensors, so that a tower may be cut over ranks.
struct Mlp {
    torch::Tensor fc1_weight, fc1_bias, fc2_weight, fc2_bias;  // [M,H] [M] [H,M] [H]
    kernels::Activation activation = kernels::Activation::none;
    Mlp() = default;
    Mlp(WeightReader& weights, const std::string& name, const EncoderShape& shape);
    torch::Tensor operator()(const torch::Tensor& x) const;
};

// Attention of one query a sequence to all positions of x, for what is pooled:
// softmax(q (x Wk)^T) (x Wv) = (softmax((q Wk^T) x^T) x) Wv, so it is the query and the result that pass through the
// weights of keys and values, not every position. The bias of the keys adds the same to all scores of a head, which
// softmax does not see; that of the values comes through whole. In fp32: it is a few thousandths of a block's work.
class PooledAttention {
public:
    PooledAttention() = default;
    // Of the keys, then of the values: weight [2H,H], bias [2H].
    PooledAttention(const torch::Tensor& weight, const torch::Tensor& bias, std::int64_t heads);
    // q: [B,H]; x: [B,T,H]; unseen: [B,T] of bool, or undefined where every position is seen -> [B,H] of x's number
    // format.
    torch::Tensor operator()(const torch::Tensor& q, const torch::Tensor& x, const torch::Tensor& unseen = {}) const;

private:
    torch::Tensor key_, value_, value_bias_;  // fp32 [N,D,H] [N,H,D] [N,1,D]
};

class Encoder {
public:
    Encoder() = default;
    // Blocks NAME.layers.0 ... of the files. pooled: for forward_pooled(), else for forward().
    Encoder(WeightReader& weights, const std::string& name, const EncoderShape& shape, bool pooled = false);

    // x: [B,T,H] -> [B,T,H].
    torch::Tensor forward(torch::Tensor x, bool causal) const;
    // As forward(), but of the last block's output only position rows[b] of each sequence, [B,H]: what is pooled. The
    // rest of that block is never computed.
    torch::Tensor forward_pooled(torch::Tensor x, bool causal, const torch::Tensor& rows) const;

private:
    struct Block {
        LayerNorm norm1, norm2;
        Linear qkv, out, fc1, fc2;  // rows of qkv's weight: q, k, v
    };
    torch::Tensor attended_pooled(const torch::Tensor& x, bool causal,
                                  const torch::Tensor& rows) const;       // [B,T,H] -> [B,H]
    torch::Tensor mlp(const Block& block, const torch::Tensor& x) const;  // x + mlp(norm2(x))
    torch::Tensor whole_block(const Block& block, const torch::Tensor& x, bool causal) const;

    EncoderShape shape_;
    std::vector<Block> blocks_;
    // The last block's attention where forward_pooled() serves.
    Linear pooled_query_;
    PooledAttention pooled_;
};

}  // namespace tg::layers
