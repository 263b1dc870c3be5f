#include "taskgalaxy/nn/layers/encoder.hpp"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::layers {
namespace {

// [B,T,H], position rows[b] of sequence b -> [B,H]
torch::Tensor row_of_each(const torch::Tensor& x, const torch::Tensor& rows) {
    return x.gather(1, rows.view({-1, 1, 1}).expand({-1, 1, x.size(2)})).squeeze(1);
}

}  // namespace

HiddenActivation activation_of(std::string_view name, const std::string& where) {
    if (name == "quick_gelu") return {kernels::Activation::silu, 1.702};
    if (name == "gelu") return {kernels::Activation::gelu, 1};
    if (name == "gelu_pytorch_tanh" || name == "gelu_new") return {kernels::Activation::gelu_tanh, 1};
    throw InputError(fmt::format("{}: hidden_act = {} is not supported", where, name),
                     "known here: quick_gelu, gelu, gelu_pytorch_tanh");
}

Mlp::Mlp(WeightReader& weights, const std::string& name, const EncoderShape& shape)
    : activation(shape.activation.activation) {
    const double scale = shape.activation.scale;
    fc1_weight = weights.to(weights.read(name + ".fc1.weight", {shape.mlp, shape.hidden}) * scale);
    fc1_bias = weights.to(weights.read(name + ".fc1.bias", {shape.mlp}) * scale);
    fc2_weight = weights.to(weights.read(name + ".fc2.weight", {shape.hidden, shape.mlp}) / scale);
    fc2_bias = weights(name + ".fc2.bias", {shape.hidden});
}

torch::Tensor Mlp::operator()(const torch::Tensor& x) const {
    return linear(linear(x, fc1_weight, fc1_bias, activation), fc2_weight, fc2_bias);
}

PooledAttention::PooledAttention(const torch::Tensor& weight, const torch::Tensor& bias, std::int64_t heads) {
    const auto h = weight.size(1), D = h / heads;
    key_ = weight.narrow(0, 0, h).to(torch::kFloat32).view({heads, D, h});
    value_ = weight.narrow(0, h, h).to(torch::kFloat32).view({heads, D, h}).transpose(1, 2).contiguous();
    value_bias_ = bias.narrow(0, h, h).to(torch::kFloat32).view({heads, 1, D});
}

torch::Tensor PooledAttention::operator()(const torch::Tensor& q, const torch::Tensor& x,
                                          const torch::Tensor& unseen) const {
    const auto B = x.size(0), h = x.size(2), N = key_.size(0), D = key_.size(1);
    const auto wide = x.to(torch::kFloat32), queries = q.to(torch::kFloat32).view({B, N, D}).transpose(0, 1);
    auto scores = torch::bmm(torch::bmm(queries, key_).transpose(0, 1), wide.transpose(1, 2))
                      .div_(std::sqrt(static_cast<double>(D)));  // [B,N,T]
    if (unseen.defined()) scores.masked_fill_(unseen.unsqueeze(1), -std::numeric_limits<double>::infinity());
    const auto mixed = torch::bmm(torch::softmax(scores, -1), wide);  // [B,N,H]
    return torch::baddbmm(value_bias_, mixed.transpose(0, 1), value_)
        .transpose(0, 1)
        .reshape({B, h})
        .to(x.scalar_type());
}

Encoder::Encoder(WeightReader& weights, const std::string& name, const EncoderShape& shape, bool pooled)
    : shape_(shape) {
    const auto h = shape.hidden;
    for (std::int64_t i = 0; i < shape.layers; ++i) {
        const auto layer = fmt::format("{}.layers.{}", name, i);
        const auto attention = layer + ".self_attn";
        const auto joined = [&](const char* what, auto... side) {
            return weights.to(torch::cat({weights.read(attention + ".q_proj" + what, {h, side...}),
                                          weights.read(attention + ".k_proj" + what, {h, side...}),
                                          weights.read(attention + ".v_proj" + what, {h, side...})}));
        };
        Block block;
        block.norm1 = LayerNorm(weights, layer + ".layer_norm1", h, shape.norm_eps);
        const auto weight = joined(".weight", h), bias = joined(".bias");
        if (pooled && i + 1 == shape.layers) {
            pooled_query_ = Linear(weight.narrow(0, 0, h), bias.narrow(0, 0, h));
            pooled_ = PooledAttention(weight.narrow(0, h, 2 * h), bias.narrow(0, h, 2 * h), shape.heads);
        } else {
            block.qkv = Linear(weight, bias);
        }
        block.out = Linear(weights(attention + ".out_proj.weight", {h, h}), weights(attention + ".out_proj.bias", {h}));
        block.norm2 = LayerNorm(weights, layer + ".layer_norm2", h, shape.norm_eps);
        const Mlp mlp(weights, layer + ".mlp", shape);
        block.fc1 = Linear(mlp.fc1_weight, mlp.fc1_bias);
        block.fc2 = Linear(mlp.fc2_weight, mlp.fc2_bias);
        blocks_.push_back(std::move(block));
    }
}

torch::Tensor Encoder::mlp(const Block& block, const torch::Tensor& x) const {
    return block.fc2(block.fc1(block.norm2(x), shape_.activation.activation), kernels::Activation::none, x);
}

torch::Tensor Encoder::whole_block(const Block& block, const torch::Tensor& x, bool causal) const {
    const auto attended = ops::attend_batch(block.qkv(block.norm1(x)), shape_.heads, causal);
    return mlp(block, block.out(attended, kernels::Activation::none, x));
}

torch::Tensor Encoder::forward(torch::Tensor x, bool causal) const {
    for (const auto& block : blocks_) x = whole_block(block, x, causal);
    return x;
}

torch::Tensor Encoder::attended_pooled(const torch::Tensor& x, bool causal, const torch::Tensor& rows) const {
    const auto unseen =
        causal ? torch::arange(x.size(1), rows.options()).unsqueeze(0).gt(rows.unsqueeze(1)) : torch::Tensor();
    return pooled_(pooled_query_(row_of_each(x, rows)), x, unseen);
}

torch::Tensor Encoder::forward_pooled(torch::Tensor x, bool causal, const torch::Tensor& rows) const {
    for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) x = whole_block(blocks_[i], x, causal);
    const auto& block = blocks_.back();
    return mlp(block, block.out(attended_pooled(block.norm1(x), causal, rows), kernels::Activation::none,
                                row_of_each(x, rows)));
}

}  // namespace tg::layers
