// SigLIP from any Hugging Face SiglipModel folder with a SentencePiece tokenizer (google/siglip-*): config.json,
// safetensors, spiece.model. Numbers as transformers' SiglipModel.get_image_features / get_text_features, normalised
// (models/siglip/modeling_siglip.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/dual_encoder.hpp"

namespace tg::models {

class Siglip : public DualEncoder {
public:
    // Throws InputError as Clip does.
    explicit Siglip(const std::filesystem::path& folder, torch::Device device = torch::kCPU,
                    torch::Dtype dtype = torch::kFloat32);
    ~Siglip() override;

protected:
    torch::Tensor image_features(const torch::Tensor& pixels) const override;
    torch::Tensor text_features(const torch::Tensor& ids) const override;
    // The model was trained on texts padded to its context, without a mask: padding is part of the text.
    std::int64_t padded_length(std::int64_t longest) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::models
