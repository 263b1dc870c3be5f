// Tokens and dollars before they are spent: what pacing reserves and `plan` multiplies. Replies carry the true figures
// (`usage`).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "taskgalaxy/llm/settings.hpp"

namespace tg::llm {

// About four bytes a token in English text; within some 15 % for prompts of a few hundred words.
std::int64_t text_tokens(std::string_view text);

// Tokens a picture costs. Rules: "gpt-4o" (85 + 170 a 512-pixel tile, after shrinking into 2048 x 2048 and the shorter
// side to 768; detail "low" is 85), "gpt-4o-mini" (2833 + 5667 a tile), "patches-28" (one a 28 x 28 patch, Qwen2-VL),
// or a number: so many each. Source: the vendors' published rules. Throws UsageError on another rule.
std::int64_t image_tokens(std::string_view rule, ImageDetail detail, int width, int height);

struct TokenEstimate {
    std::int64_t in = 0, out = 0;
};
// Dollars at the endpoint's prices; negative where a price that matters is unknown.
double dollars(const EndpointSettings& endpoint, TokenEstimate tokens);

}  // namespace tg::llm
