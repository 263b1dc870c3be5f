#include "flops.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace tg::training {

namespace {

double matrices(const layers::Unit& unit) {
    double sum = 0;
    for (const auto& parameter : unit.parameters)
        if (parameter.shape.size() == 2) sum += static_cast<double>(parameter.elements());
    return sum;
}

// Vendors' data sheets, without sparsity; the first name that is part of the card's wins (NVIDIA A40: and not the RTX
// A4000).
constexpr std::array peaks{std::pair{"H100 PCIe", 756.0},  std::pair{"H100 NVL", 835.0},   std::pair{"H100", 989.0},
                           std::pair{"H200", 989.0},       std::pair{"H800", 989.0},       std::pair{"GH200", 989.0},
                           std::pair{"B200", 2250.0},      std::pair{"A100", 312.0},       std::pair{"A800", 312.0},
                           std::pair{"NVIDIA A40", 149.7}, std::pair{"NVIDIA A30", 165.0}, std::pair{"L40S", 362.0}};

}  // namespace

void StepSize::add(const MicroBatch& batch) {
    std::int64_t longest = 0;
    for (std::size_t s = 0; s + 1 < batch.starts.size(); ++s) {
        const auto length = batch.starts[s + 1] - batch.starts[s];
        longest = std::max(longest, length);
        squares += length * length;
    }
    tokens += batch.tokens();
    padded += longest * static_cast<std::int64_t>(batch.starts.size() - 1);
    supervised += batch.supervised;
    picture_rows += batch.image_rows.numel();
}

FlopCount::FlopCount(models::VlmParts& parts, bool learns_language, bool learns_projector)
    : learns_language_(learns_language && !parts.language.has_adapters()), learns_projector_(learns_projector) {
    const auto& c = parts.language.config;
    for (auto& layer : parts.language.layers) {
        layers_ += matrices(layer.unit());
        if (const auto* adapters = layer.adapters()) adapters_ += matrices(*adapters);
    }
    head_ = static_cast<double>(c.vocabulary * c.hidden);
    attention_width_ = static_cast<double>(c.heads * c.head_dim * c.layers);
    if (parts.projector) projector_ = matrices(parts.projector->unit());
}

double FlopCount::of(const StepSize& step) const {
    const double language = learns_language_ ? 6 : 4, tokens = static_cast<double>(step.tokens);
    return tokens * (language * layers_ + 6 * adapters_) + static_cast<double>(step.supervised) * language * head_ +
           static_cast<double>(step.picture_rows) * (learns_projector_ ? 6 : 2) * projector_ +
           6 * attention_width_ * static_cast<double>(step.squares);
}

double peak_tflops(std::string_view card) {
    const auto found =
        std::find_if(peaks.begin(), peaks.end(), [&](const auto& row) { return card.find(row.first) != card.npos; });
    return found == peaks.end() ? 0 : found->second;
}

}  // namespace tg::training
