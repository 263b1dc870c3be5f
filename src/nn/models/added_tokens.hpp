// Tokens added to a tokenizer's folder, or taken from it: the same change in tokenizer_config.json, added_tokens.json
// and tokenizer.json, those of them that are there.
#pragma once

#include <cstdint>
#include <filesystem>

namespace tg::models {

// llava-hf's two tokens behind the language model's own: <image> with the id `image`, <pad> with the next.
void add_image_and_pad(const std::filesystem::path& folder, std::int64_t image);
// Every token from the id `first` on goes; where padding was one of them, <unk> pads.
void drop_tokens_from(const std::filesystem::path& folder, std::int64_t first);

}  // namespace tg::models
