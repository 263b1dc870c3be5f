// What config.json says about the two towers of a CLIP or SigLIP model; absent fields take transformers' defaults.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "encoder.hpp"

namespace tg {

struct VisionShape {
    EncoderShape encoder;
    std::int64_t image = 224, patch = 32;
    std::int64_t patches() const { return (image / patch) * (image / patch); }
};
struct TextShape {
    EncoderShape encoder;
    std::int64_t vocabulary = 0, positions = 0;
    std::int64_t end_id = 0;
};

nlohmann::json read_model_config(const std::filesystem::path& folder);  // config.json; throws InputError
std::string read_model_type(const std::filesystem::path& folder);       // "" where it says none

// `defaults`: hidden_act where the field is absent ("quick_gelu" for CLIP).
VisionShape vision_shape(const nlohmann::json& config, std::string_view default_activation, double default_eps, const std::string& where);
TextShape text_shape(const nlohmann::json& config, std::string_view default_activation, double default_eps, const std::string& where);

}  // namespace tg
