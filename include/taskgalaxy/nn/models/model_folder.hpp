// What a Hugging Face model folder holds besides weights: configuration, tokenizer, licence.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

// config.json, an object. Throws InputError.
nlohmann::json read_model_config(const std::filesystem::path& folder);

// What would make writing such a folder fail. Throws InputError.
void check_exportable(const VlmParts& parts);
// Every file that holds no weights, except `but`; the generation configuration mended so that transformers saves it
// again.
void copy_small_files(const std::filesystem::path& from, const std::filesystem::path& to,
                      const std::set<std::string>& but = {});
// Those of the model, and its tower where that lies in a folder inside.
void copy_side_files(const VlmParts& parts, const std::filesystem::path& folder);

}  // namespace tg::models
