// What config.json says about the two towers of a CLIP or SigLIP model; absent fields take transformers' defaults.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "taskgalaxy/nn/layers/encoder.hpp"
#include "taskgalaxy/nn/text/tokenizer.hpp"

namespace tg::models {

struct VisionShape {
    layers::EncoderShape encoder;
    std::int64_t image = 224, patch = 32;
    std::int64_t patches() const { return (image / patch) * (image / patch); }
};
struct TextShape {
    layers::EncoderShape encoder;
    std::int64_t vocabulary = 0, positions = 0;
    std::int64_t end_id = 0;
};

// What an absent field of config.json means: transformers' CLIPConfig and SiglipConfig.
struct TowerDefaults {
    std::string_view activation;
    double norm_eps;
    std::int64_t patch, text_hidden, text_mlp, text_heads, vocabulary, positions;
};
inline constexpr TowerDefaults clip_defaults{"quick_gelu", 1e-5, 32, 512, 2048, 8, 49408, 77};
inline constexpr TowerDefaults siglip_defaults{"gelu_pytorch_tanh", 1e-6, 16, 768, 3072, 12, 32000, 64};

VisionShape vision_shape(const nlohmann::json& config, const TowerDefaults& defaults, const std::string& where);
TextShape text_shape(const nlohmann::json& config, const TowerDefaults& defaults, const std::string& where);
// Throws InputError where the tokenizer makes longer texts, or other ids, than the text tower has rows for.
void require_fit(const text::Tokenizer& tokenizer, const TextShape& text, const std::filesystem::path& folder);

}  // namespace tg::models
