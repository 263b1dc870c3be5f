// A list of prompts answered by a model: loops over Generation (generation.hpp). Every prompt takes a slot; when its
// answer ends, the slot goes to the next prompt, so that no step is spent on finished answers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/nn/generation/generation.hpp"
#include "taskgalaxy/nn/generation/prompt.hpp"

namespace tg::models {
class VisionLanguageModel;
}

namespace tg::generation {

struct Options {
    int max_new_tokens = 64;
    int batch = 32;       // answers in the making at once; a finished one makes room for the next prompt
    Sampling sampling{};  // the key of a prompt is its index
    // generate() only: what each token adds to an answer, blanks included.
    std::function<void(std::size_t prompt, std::string_view text)> on_text{};
};

// Answers, in the order of the prompts, without special tokens and surrounding blanks. Ends at the model's end token
// or at max_new_tokens. Throws InputError where a prompt has a picture of the wrong shape or is longer than the model's
// context, Stopped where the job is asked to stop meanwhile.
std::vector<std::string> generate(const models::VisionLanguageModel& model, std::span<const Prompt> prompts,
                                  const Options& options = {});

// The new ids of each prompt, without the end token. `on_token`: each one, as soon as it is known. Throws Stopped.
std::vector<std::vector<std::int64_t>> answer_tokens(
    const models::VlmParts& parts, std::span<const TokenPrompt> prompts, const Options& options,
    const std::function<void(std::size_t prompt, std::int64_t id)>& on_token = {});

}  // namespace tg::generation
