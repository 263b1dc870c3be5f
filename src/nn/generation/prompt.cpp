#include "taskgalaxy/nn/generation/prompt.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::generation {

namespace {

// [tiles,3,S,S] of a picture with or without its tiles.
torch::Tensor checked_tiles(const models::VlmParts& parts, const torch::Tensor& pixels, std::size_t index) {
    if (!parts.vision)
        throw InputError(fmt::format("prompt {} has a picture, but {} has no eyes", index, parts.folder.string()));
    const std::int64_t side = parts.vision->image_size;
    auto tiles = pixels.dim() == 3 ? pixels.unsqueeze(0) : pixels;
    if (tiles.dim() != 4 || tiles.size(0) < 1 || tiles.sizes().slice(1) != torch::IntArrayRef({3, side, side}))
        throw InputError(fmt::format("prompt {}: its picture is not [3, {}, {}], nor tiles of it", index, side, side));
    return tiles;
}

}  // namespace

TokenPrompt read_prompt(const models::VlmParts& parts, const Prompt& prompt, std::size_t index, int max_new_tokens) {
    const bool has_image = prompt.pixels.defined();
    TokenPrompt read;
    if (has_image) read.pixels = checked_tiles(parts, prompt.pixels, index);
    auto turns = prompt.history;
    turns.push_back({prompt.text, ""});
    if (has_image) text::place_marks(turns, parts.mark, true);
    const auto positions = has_image ? static_cast<std::size_t>(parts.image_positions(read.pixels.size(0))) : 0;
    for (const auto id :
         text::tokenize_conversation(turns, *parts.style, *parts.tokenizer, has_image, true, parts.mark).ids)
        read.ids.insert(read.ids.end(), id == text::image_placeholder ? positions : 1, id);
    if (static_cast<std::int64_t>(read.ids.size()) + max_new_tokens > parts.language.config.context)
        throw InputError(fmt::format("prompt {} takes {} positions and its answer up to {}; {} can hold {}", index,
                                     read.ids.size(), max_new_tokens, parts.folder.string(),
                                     parts.language.config.context));
    return read;
}

}  // namespace tg::generation
