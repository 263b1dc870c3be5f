// What the files of model families share: each reads config.json and says where the tensors lie. The table of families
// is in vlm.cpp.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

// Each: the folder and its config.json. Throws InputError naming the field that is not understood.
std::unique_ptr<VlmParts> describe_llava(
    const std::filesystem::path& folder,
    const nlohmann::json& config);  // llava-hf; liuhaotian's where it says mm_vision_tower
std::unique_ptr<VlmParts> describe_llava_llama(const std::filesystem::path& folder,
                                               const nlohmann::json& config);  // liuhaotian; InternVL-Chat-V1.0
std::unique_ptr<VlmParts> describe_internvl_chat(const std::filesystem::path& folder,
                                                 const nlohmann::json& config);  // OpenGVLab InternVL 1.5, 2
std::unique_ptr<VlmParts> describe_internvl(const std::filesystem::path& folder,
                                            const nlohmann::json& config);  // transformers' InternVL
std::unique_ptr<VlmParts> describe_language_model(const std::filesystem::path& folder,
                                                  const nlohmann::json& config);  // no eyes

// Where the tensors of one family may lie; the layout whose `probe` is in the files is taken.
struct WeightLayout {
    std::string probe;
    std::vector<layers::WeightNames::Row> prefixes, parts{};
};
layers::WeightNames find_layout(const storage::SafetensorsFolder& files, const std::vector<WeightLayout>& layouts);
// Of the families that are classes of transformers: the names of version 4, or of version 5, whose classes have the
// latter whatever the files say.
void set_transformers_names(VlmParts& parts);
// InternLM2's words for what LLaMA's files hold.
std::vector<layers::WeightNames::Row> internlm2_parts();

// Parts of a model without eyes, yet without names and style.
std::unique_ptr<VlmParts> bare_parts(const std::filesystem::path& folder, const LanguageConfig& language,
                                     std::string family);

}  // namespace tg::models
