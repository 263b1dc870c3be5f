// The layouts of a model folder, one function each; the table of their names is in convert.cpp. Each writes weights,
// small files, and config.json last. `output` is there and empty. Throws InputError where the model does not fit.
#pragma once

#include <filesystem>

#include "taskgalaxy/nn/models/convert.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

ConvertedModel write_llava_hf(VlmParts& parts, const std::filesystem::path& output);    // llava_layouts.cpp
ConvertedModel write_liuhaotian(VlmParts& parts, const std::filesystem::path& output);  // llava_layouts.cpp

}  // namespace tg::models
