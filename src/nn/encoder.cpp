#include "encoder.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg {

Activation activation_of(std::string_view name, const std::string& where) {
    if (name == "quick_gelu") return Activation::quick_gelu;
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
    throw InputError(fmt::format("{}: hidden_act = {} is not supported", where, name), "known here: quick_gelu, gelu, gelu_pytorch_tanh");
}

Mlp::Mlp(WeightReader& weights, const std::string& name, const EncoderShape& shape) : activation(shape.activation) {
    const double scale = activation == Activation::quick_gelu ? 1.702 : 1.0;
    fc1_weight = weights.to(weights.read(name + ".fc1.weight", {shape.mlp, shape.hidden}) * scale);
    fc1_bias = weights.to(weights.read(name + ".fc1.bias", {shape.mlp}) * scale);
    fc2_weight = weights.to(weights.read(name + ".fc2.weight", {shape.hidden, shape.mlp}) / scale);
    fc2_bias = weights(name + ".fc2.bias", {shape.hidden});
}

torch::Tensor Mlp::operator()(const torch::Tensor& x) const {
    auto inner = torch::linear(x, fc1_weight, fc1_bias);
    switch (activation) {
        case Activation::quick_gelu: torch::silu_(inner); break;
        case Activation::gelu: at::gelu_(inner, "none"); break;
        case Activation::gelu_tanh: at::gelu_(inner, "tanh"); break;
    }
    return torch::linear(inner, fc2_weight, fc2_bias);
}

Encoder::Encoder(WeightReader& weights, const std::string& name, const EncoderShape& shape) : shape_(shape) {
    const auto h = shape.hidden;
    for (std::int64_t i = 0; i < shape.layers; ++i) {
        const auto layer = fmt::format("{}.layers.{}", name, i);
        const auto attention = layer + ".self_attn";
        const auto joined = [&](const char* what, auto... side) {
            return weights.to(torch::cat({weights.read(attention + ".q_proj" + what, {h, side...}), weights.read(attention + ".k_proj" + what, {h, side...}), weights.read(attention + ".v_proj" + what, {h, side...})}));
        };
        Block block;
        block.norm1 = LayerNorm(weights, layer + ".layer_norm1", h, shape.norm_eps);
        block.qkv_weight = joined(".weight", h);
        block.qkv_bias = joined(".bias");
        block.out_weight = weights(attention + ".out_proj.weight", {h, h});
        block.out_bias = weights(attention + ".out_proj.bias", {h});
        block.norm2 = LayerNorm(weights, layer + ".layer_norm2", h, shape.norm_eps);
        block.mlp = Mlp(weights, layer + ".mlp", shape);
        blocks_.push_back(std::move(block));
    }
}

torch::Tensor Encoder::heads_of(const torch::Tensor& x) const { return x.view({x.size(0), x.size(1), shape_.heads, x.size(2) / shape_.heads}).transpose(1, 2); }

torch::Tensor Encoder::forward(torch::Tensor x, bool causal, std::int64_t blocks) const {
    const auto count = blocks < 0 ? blocks_.size() : static_cast<std::size_t>(blocks);
    for (std::size_t i = 0; i < count; ++i) {
        const auto& block = blocks_.at(i);
        const auto qkv = torch::linear(block.norm1(x), block.qkv_weight, block.qkv_bias).chunk(3, -1);
        const auto attended = at::scaled_dot_product_attention(heads_of(qkv[0]), heads_of(qkv[1]), heads_of(qkv[2]), {}, 0.0, causal);
        x = x + torch::linear(attended.transpose(1, 2).reshape_as(x), block.out_weight, block.out_bias);
        x.add_(block.mlp(block.norm2(x)));
    }
    return x;
}

torch::Tensor Encoder::forward_pooled(torch::Tensor x, bool causal, const torch::Tensor& rows) const {
    x = forward(std::move(x), causal, static_cast<std::int64_t>(blocks_.size()) - 1);
    const auto& block = blocks_.back();
    const auto batch = x.size(0), length = x.size(1), h = shape_.hidden;
    const auto at_row = rows.view({batch, 1, 1}).expand({batch, 1, h});
    auto picked = x.gather(1, at_row);  // [B,1,H]
    const auto normed = block.norm1(x);
    const auto q = torch::linear(normed.gather(1, at_row), block.qkv_weight.narrow(0, 0, h), block.qkv_bias.narrow(0, 0, h));
    const auto kv = torch::linear(normed, block.qkv_weight.narrow(0, h, 2 * h), block.qkv_bias.narrow(0, h, 2 * h)).chunk(2, -1);
    std::optional<torch::Tensor> seen;  // causal: a row attends to the positions up to its own
    if (causal) seen = torch::arange(length, rows.options()).view({1, 1, 1, length}).le(rows.view({batch, 1, 1, 1}));
    const auto attended = at::scaled_dot_product_attention(heads_of(q), heads_of(kv[0]), heads_of(kv[1]), seen);
    picked = picked + torch::linear(attended.transpose(1, 2).reshape({batch, 1, h}), block.out_weight, block.out_bias);
    picked.add_(block.mlp(block.norm2(picked)));
    return picked.squeeze(1);
}

}  // namespace tg
