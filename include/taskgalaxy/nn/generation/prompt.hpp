// What a model is asked: the words and the picture of a turn, and the ids that they become.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"

namespace tg::models {
struct VlmParts;
}

namespace tg::generation {

struct Prompt {
    // The user's turn; `<image>` where the picture goes (put in front when there are pixels and no mark).
    std::string text;
    // [3,S,S] or [tiles,3,S,S] float as the model's picture recipe makes them, S = its image_size(); undefined: no
    // picture.
    torch::Tensor pixels;
    // Earlier turns; the picture, if there is one, belongs to the first turn of all.
    std::vector<text::Turn> history{};
};

// A prompt as ids: image_placeholder at each position of its picture.
struct TokenPrompt {
    std::vector<std::int64_t> ids;
    torch::Tensor pixels{};  // [tiles,3,S,S], or undefined
};

// In the turns of the model's template, up to where its answer begins. Throws InputError that calls it "prompt INDEX":
// a picture of the wrong shape, or for a model without eyes; a prompt that with `max_new_tokens` of answer is longer
// than the model's context.
TokenPrompt read_prompt(const models::VlmParts& parts, const Prompt& prompt, std::size_t index, int max_new_tokens);

}  // namespace tg::generation
