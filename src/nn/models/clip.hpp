// CLIP from any Hugging Face CLIPModel folder (OpenAI's weights and OpenCLIP conversions): config.json, safetensors,
// tokenizer. Numbers as transformers' CLIPModel.get_image_features / get_text_features followed by normalisation
// (models/clip/modeling_clip.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/dual_encoder.hpp"

namespace tg::models {

class Clip : public DualEncoder {
public:
    // Throws InputError: missing files, fields of config.json that are not understood, and in one message every
    // missing, extra or misshapen tensor.
    explicit Clip(const std::filesystem::path& folder, torch::Device device = torch::kCPU,
                  torch::Dtype dtype = torch::kFloat32);
    ~Clip() override;

protected:
    torch::Tensor image_features(const torch::Tensor& pixels) const override;
    torch::Tensor text_features(const torch::Tensor& ids) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::models
