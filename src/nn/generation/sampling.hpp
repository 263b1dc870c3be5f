// The choice of an answer's next token where a temperature is asked for.
#pragma once

#include <cstdint>

#include "taskgalaxy/nn/generation/generation.hpp"

namespace tg::generation {

// Of the most probable tokens that together reach top_p, one by chance: that of (seed, key of the answer, `position` in
// it). logits: [V] fp32.
std::int64_t sampled(const torch::Tensor& logits, const Sampling& sampling, std::uint64_t key, std::uint64_t position);

}  // namespace tg::generation
