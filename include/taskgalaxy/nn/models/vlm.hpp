// A vision-language model from a local Hugging Face folder: vision tower, projector, language model, tokenizer and the
// turn template its family was trained with. config.json decides everything; a field that matters and is not understood
// is an error. Numerics follow transformers (LlavaForConditionalGeneration, InternVLForConditionalGeneration,
// LlamaForCausalLM, Qwen2ForCausalLM). No MPI: every rank loads its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"

namespace tg::text {
class LanguageTokenizer;
}

namespace tg::models {

struct VlmParts;

struct VlmPrompt {
    std::string
        text;  // the user's turn; `<image>` where the picture goes (put in front when there are pixels and no mark)
    torch::Tensor pixels;  // [3,S,S] or [tiles,3,S,S] float as the model's picture recipe makes them, S = image_size();
                           // undefined: no picture
    std::vector<text::Turn> history{};  // earlier turns; the picture, if there is one, belongs to the first turn of all
};

struct GenerateOptions {
    int max_new_tokens = 64;
    int batch = 32;          // answers in the making at once; a finished one makes room for the next prompt
    double temperature = 0;  // 0: greedy
    double top_p = 1;        // only with a temperature
    std::uint64_t seed = 1;  // only with a temperature; an answer depends on (seed, index of its prompt) alone
    std::function<void(std::size_t prompt, std::string_view text)>
        on_text{};  // generate() only: what each token adds to an answer, blanks included
};

class VisionLanguageModel {
public:
    // Weights are cast to `dtype` as they are read. Throws InputError: no config.json, unknown model_type, missing,
    // extra or misshapen tensors (by name).
    static VisionLanguageModel load(const std::filesystem::path& folder, torch::Device device = torch::kCPU,
                                    torch::Dtype dtype = torch::kFloat32);
    ~VisionLanguageModel();
    VisionLanguageModel(VisionLanguageModel&&) noexcept;
    VisionLanguageModel& operator=(VisionLanguageModel&&) noexcept;

    int image_size() const;    // pixels a side that `VlmPrompt::pixels` must have; 0 for a model without eyes
    int image_tokens() const;  // positions a picture, or each of its tiles, takes in the sequence
    const text::LanguageTokenizer& tokenizer() const;

    // Answers, in the order of the prompts, without special tokens and surrounding blanks. Ends at the model's end
    // token or at max_new_tokens. Throws InputError where a prompt has a picture of the wrong shape or is longer than
    // the model's context.
    std::vector<std::string> generate(std::span<const VlmPrompt> prompts, const GenerateOptions& options = {}) const;

    // What training takes apart (nn/vlm_parts.hpp).
    VlmParts& parts() const;

private:
    explicit VisionLanguageModel(std::unique_ptr<VlmParts> parts);
    std::unique_ptr<VlmParts> parts_;
};

}  // namespace tg::models
