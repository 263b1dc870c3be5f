#include "taskgalaxy/nn/layers/projector.hpp"

#include <charconv>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/ops.hpp"

namespace tg::layers {

using torch::Tensor;

int ProjectorConfig::linears_of(const std::string& type, const std::string& where) {
    if (type == "linear") return 1;
    int count = 0;
    const auto* end = type.data() + type.size();
    if (type.starts_with("mlp"))
        if (const auto [rest, error] = std::from_chars(type.data() + 3, end, count);
            error == std::errc{} && std::string_view(rest, end) == "x_gelu" && count >= 1 && count <= 16)
            return count;
    throw InputError(fmt::format("{}: mm_projector_type = {} is not supported", where, type),
                     "known here: linear, mlp2x_gelu (any number)");
}

Projector::Projector(const ProjectorConfig& config, const std::string& prefix) : config_(config), unit_{"projector"} {
    if (config.norm)
        for (const auto* part : {"layer_norm.weight", "layer_norm.bias"})
            unit_.add({config.from}, {{prefix + part, config.from}}, false);
    for (int i = 0; i < config.linears; ++i) {
        const auto name = fmt::format("{}linear_{}.", prefix, i + 1);
        unit_.add({config.to, i == 0 ? config.from : config.to}, {{name + "weight", config.to}}, true);
        if (config.bias) unit_.add({config.to}, {{name + "bias", config.to}}, false);
    }
}

Tensor Projector::forward(const Tensor& features, Kept* keep) const {
    std::vector<Tensor> inputs, hidden;
    auto x = features;
    Tensor plain;  // the norm's result before its weight and bias
    if (config_.norm) {
        x = torch::layer_norm(features, {config_.from}, unit_.parameters[0].value, unit_.parameters[1].value, norm_eps);
        if (keep) plain = torch::layer_norm(features.to(torch::kFloat32), {config_.from}, {}, {}, norm_eps);
    }
    for (int i = 0; i < config_.linears; ++i) {
        inputs.push_back(x);
        const auto& w = weight(i);
        x = config_.bias ? ops::multiply_add(unit_.parameters[weight_index(i) + 1].value, x, w.value.t())
                         : ops::multiply(x, w.value.t());
        if (i + 1 == config_.linears) break;
        hidden.push_back(x);
        x = torch::gelu(x);
    }
    if (keep) {
        *keep = std::move(inputs);
        keep->insert(keep->end(), hidden.begin(), hidden.end());
        if (config_.norm) keep->push_back(plain);
    }
    return x;
}

void Projector::backward(const Tensor& d_out, const Kept& kept) {
    auto d = d_out;
    for (int i = config_.linears - 1; i >= 0; --i) {
        auto& w = const_cast<Parameter&>(weight(i));  // ours, of this non-const object
        if (w.grad.defined()) ops::add_product(w.grad, d.t(), kept[static_cast<std::size_t>(i)]);
        if (config_.bias) {
            auto& bias = unit_.parameters[weight_index(i) + 1];
            if (bias.grad.defined()) bias.grad.add_(d.sum(0, false, torch::kFloat32));
        }
        if (i > 0)
            d = at::gelu_backward(ops::multiply(d, w.value), kept[static_cast<std::size_t>(config_.linears + i - 1)]);
        else if (config_.norm && unit_.parameters[0].grad.defined()) {
            const auto d_norm = ops::multiply(d, w.value).to(torch::kFloat32);
            unit_.parameters[0].grad.add_((d_norm * kept.back()).sum(0));
            unit_.parameters[1].grad.add_(d_norm.sum(0));
        }
    }
}

}  // namespace tg::layers
