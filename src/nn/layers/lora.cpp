#include "taskgalaxy/nn/layers/lora.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/nn/layers/ops.hpp"

namespace tg::layers {

using torch::Tensor;

namespace {

constexpr std::array attention_inputs{"q_proj", "k_proj", "v_proj"};

// "…self_attn.q_proj.weight" -> "…self_attn.q_proj"
std::string module_of(const FilePiece& piece) { return piece.name.substr(0, piece.name.rfind('.')); }

bool is_asked_for(const std::string& module, const std::vector<std::string>& targets) {
    if (targets.empty()) return true;
    const auto last = module.substr(module.rfind('.') + 1);
    return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
        return target == last || (last == "qkv_proj" && std::find(attention_inputs.begin(), attention_inputs.end(),
                                                                  target) != attention_inputs.end());
    });
}

// Uniform in +- 1 / sqrt(columns): what nn.Linear's kaiming_uniform(sqrt(5)) comes to, drawn by name and index so that
// every rank has the same.
void draw(const Tensor& into, const std::string& name, std::uint64_t seed) {
    const auto digest = digest_of(name);
    std::uint64_t own = 0;
    for (std::size_t i = 0; i < 8; ++i) own = own << 8 | digest.bytes[i];
    const auto bound = 1 / std::sqrt(static_cast<double>(into.size(1)));
    auto values = torch::empty(into.sizes(), torch::kFloat32);
    auto* value = values.data_ptr<float>();
    for (std::int64_t i = 0; i < values.numel(); ++i)
        value[i] = static_cast<float>(bound * (2 * random_unit(seed ^ own, static_cast<std::uint64_t>(i)) - 1));
    into.copy_(values);
}

}  // namespace

std::vector<std::string> lora_target_names() {
    return {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
}

LinearAdapters::LinearAdapters(Unit& unit, Parameter& weight, const LoraOptions& options)
    : weight_(&weight), scale_(options.scale()) {
    std::int64_t first = 0;
    for (const auto& piece : weight.pieces) {
        if (const auto module = module_of(piece); is_asked_for(module, options.targets)) {
            auto& a = unit.add({options.rank, weight.shape[1]}, {{module + ".lora_A.weight", options.rank}}, true);
            auto& b =
                unit.add({piece.rows, options.rank}, {{module + ".lora_B.weight", piece.rows, piece.file_rows}}, true);
            a.begin = [name = module, seed = options.seed](const Tensor& into) { draw(into, name, seed); };
            b.begin = [](const Tensor& into) { into.zero_(); };
            pairs_.push_back({&a, &b, first});
        }
        first += piece.rows;
    }
}

void LinearAdapters::forward(const Tensor& x, Tensor& y) const {
    for (const auto& [a, b, first] : pairs_)
        y.narrow(1, first, b->shape[0]).add_(ops::multiply(ops::multiply(x, a->value.t()), b->value.t()), scale_);
}

void LinearAdapters::backward(const Tensor& d_y, const Tensor& x, Tensor& d_x) {
    for (auto& [a, b, first] : pairs_) {
        const auto d = d_y.narrow(1, first, b->shape[0]);
        if (b->grad.defined()) ops::add_product(b->grad, d.t(), ops::multiply(x, a->value.t()).mul_(scale_));
        const auto d_low = ops::multiply(d, b->value).mul_(scale_);
        if (a->grad.defined()) ops::add_product(a->grad, d_low.t(), x);
        d_x.add_(ops::multiply(d_low, a->value));
    }
}

Tensor LinearAdapters::merged() const {
    auto sum = weight_->value.to(torch::kFloat32, false, true);
    for (const auto& [a, b, first] : pairs_)
        sum.narrow(0, first, b->shape[0]).addmm_(b->value.to(torch::kFloat32), a->value.to(torch::kFloat32), 1, scale_);
    return sum;
}

}  // namespace tg::layers
