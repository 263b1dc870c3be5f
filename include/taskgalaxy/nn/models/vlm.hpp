// A vision-language model from a local Hugging Face folder: vision tower, projector, language model, tokenizer and the
// turn template its family was trained with. config.json decides everything; a field that matters and is not understood
// is an error. Numerics follow transformers (LlavaForConditionalGeneration, InternVLForConditionalGeneration,
// LlamaForCausalLM, Qwen2ForCausalLM). No MPI: every rank loads its own.
#pragma once

#include <filesystem>
#include <memory>

#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::text {
class LanguageTokenizer;
}

namespace tg::models {

struct VlmParts;

class VisionLanguageModel {
public:
    // Weights are cast to `dtype` as they are read. Throws InputError: no config.json, unknown model_type, missing,
    // extra or misshapen tensors (by name).
    static VisionLanguageModel load(const std::filesystem::path& folder, torch::Device device = torch::kCPU,
                                    torch::Dtype dtype = torch::kFloat32);
    ~VisionLanguageModel();
    VisionLanguageModel(VisionLanguageModel&&) noexcept;
    VisionLanguageModel& operator=(VisionLanguageModel&&) noexcept;

    int image_size() const;    // pixels a side that a picture must have; 0 for a model without eyes
    int image_tokens() const;  // positions a picture, or each of its tiles, takes in the sequence
    const text::LanguageTokenizer& tokenizer() const;

    // What training and generation take apart (vlm_parts.hpp).
    VlmParts& parts() const;

private:
    explicit VisionLanguageModel(std::unique_ptr<VlmParts> parts);
    std::unique_ptr<VlmParts> parts_;
};

}  // namespace tg::models
