// A model folder written in another layout, unit by unit: memory for one decoder layer or one embedding table. One
// process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tg::models {

// "same" (read and written again, which also joins or cuts shards), "llava-hf" (LlavaForConditionalGeneration; the
// names that every transformers since 4.36 reads), "liuhaotian" (LLaVA's own code; the tower in a folder inside). The
// last two are LLaVAs of a CLIP and a LLaMA only.
std::vector<std::string> model_layouts();

struct ConvertedModel {
    std::size_t tensors = 0;
    std::uint64_t bytes = 0;
};
// `output` must not exist, or be empty. config.json comes after the weights: a folder with one is complete. Number
// formats stay. llava-hf has two tokens more than liuhaotian, <image> and <pad>, and its tables a multiple of 64 rows:
// rows that are added are the mean of the others, and the other way they go. Throws UsageError for an unknown layout or
// an output in the way, InputError where `model` does not fit the layout.
ConvertedModel convert_model(const std::filesystem::path& model, std::string_view layout,
                             const std::filesystem::path& output);

}  // namespace tg::models
