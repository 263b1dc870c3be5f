// LLaVA: CLIP, mlpNx_gelu and a LLaMA or Qwen2, as llava-hf and as liuhaotian lay it out. InternVL-Chat-V1.0 is
// liuhaotian's layout with an InternViT in CLIP's place.
#include <fmt/format.h>

#include "clip_tower.hpp"
#include "intern_vit.hpp"
#include "llava_folder.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "vlm_families.hpp"

namespace tg::models {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// transformers 5 saves the tower of a new model without the level `vision_model.`.
void add_flat_tower(VlmParts& parts) {
    const auto flat = parts.names.file_name("vision_tower.");
    if (parts.files.has(flat + "embeddings.class_embedding"))
        parts.names.put_first({"vision_tower.vision_model.", flat});
}

// What a missing vision_config means, as transformers fills it.
json clip_vit_l14_336() {
    return {{"hidden_size", 1024}, {"intermediate_size", 4096}, {"num_hidden_layers", 24}, {"num_attention_heads", 16},
            {"image_size", 336},   {"patch_size", 14},          {"projection_dim", 768}};
}

// CLIP's processor with ImageNet's numbers.
pictures::PictureRecipe internvl_chat_v1_pictures(int size) {
    pictures::PictureRecipe recipe{pictures::ImageRecipe::exact(size, pictures::imagenet_mean, pictures::imagenet_std),
                                   {}};
    recipe.tile.resize = pictures::ImageRecipe::Resize::shortest_edge;
    recipe.tile.shortest_edge = size;
    return recipe;
}

// liuhaotian's tower lies among the model's tensors or, oftener, in a CLIP folder of its own, whose tensors are then
// called as there.
void find_mm_tower(VlmParts& parts, const fs::path& tower_folder, const std::string& first_tensor) {
    if (parts.files.has("model.vision_tower.vision_tower." + first_tensor)) return;
    const auto& files = parts.vision_files.emplace(tower_folder);
    // transformers 5 saves a CLIP's tower without the level `vision_model.`.
    const bool flat = first_tensor.starts_with("vision_model.") && !files.has(first_tensor);
    parts.vision_names = layers::WeightNames(
        std::vector<layers::WeightNames::Row>{{flat ? "vision_tower.vision_model." : "vision_tower.", ""}});
}

// mm_vision_tower: a CLIP, or an InternViT in its place.
void set_mm_tower(VlmParts& parts, const json& config, const std::string& where) {
    const fs::path tower = field<std::string>(config, "mm_vision_tower", "");
    const auto tower_folder = tower.is_absolute() ? tower : parts.folder / tower;
    if (tower.empty() || !fs::exists(tower_folder / "config.json"))
        throw InputError(fmt::format("{}: mm_vision_tower = {} is no local folder", where, tower.string()),
                         "put the CLIP folder there, or edit mm_vision_tower (relative to the model's folder)");
    const auto tower_where = (tower_folder / "config.json").string();
    auto vision = read_model_config(tower_folder);
    const auto feature = field<std::string>(config, "mm_vision_select_feature", "patch");
    if (feature != "patch" && feature != "cls_patch")
        throw InputError(fmt::format("{}: mm_vision_select_feature = {} is not supported", where, feature),
                         "known here: patch, cls_patch");
    const bool keeps_cls = feature == "cls_patch";
    const auto layer = field(config, "mm_vision_select_layer", -2);
    if (field<std::string>(vision, "model_type", "") == "intern_vit_6b") {
        // InternVL-Chat-V1.0: the pictures' size is in the code, by the tower's name (clip_encoder.py there).
        const int size = tower.string().find("448") != std::string::npos ? 448 : 336;
        parts.vision = make_intern_vit(vision, tower_where, {.layer = layer, .image_size = size, .keep_cls = keeps_cls},
                                       "vision_tower.");
        parts.pictures = internvl_chat_v1_pictures(size);
        parts.family = "internvl_chat_v1";
        find_mm_tower(parts, tower_folder, "embeddings.class_embedding");
    } else {
        if (vision.contains("vision_config")) vision = json(vision["vision_config"]);
        parts.vision = make_clip_tower(vision, tower_where, layer, keeps_cls, "vision_tower.vision_model.");
        parts.llava = std::make_shared<const LlavaFolder>(
            LlavaFolder{LlavaFolder::Layout::liuhaotian, config, vision, layer, keeps_cls});
        find_mm_tower(parts, tower_folder, "vision_model.embeddings.class_embedding");
    }
}

}  // namespace

std::vector<layers::WeightNames::Row> liuhaotian_names(int linears) {
    std::vector<layers::WeightNames::Row> names{{"language_model.model.", "model."},
                                                {"language_model.lm_head.", "lm_head."}};
    for (int i = 0; i < linears; ++i)
        names.push_back({fmt::format("multi_modal_projector.linear_{}.", i + 1),
                         linears == 1 ? "model.mm_projector." : fmt::format("model.mm_projector.{}.", 2 * i)});
    return names;
}

// llava-hf (old and new names): text_config, vision_config.
std::unique_ptr<VlmParts> describe_llava(const fs::path& folder, const json& config) {
    if (config.contains("mm_vision_tower"))
        return describe_llava_llama(folder, config);  // before LLaVA 1.2 its configurations said "llava"
    const auto where = (folder / "config.json").string();
    auto text = config.value("text_config", json::object());
    if (config.contains("tie_word_embeddings") && !text.contains("tie_word_embeddings"))
        text["tie_word_embeddings"] = config["tie_word_embeddings"];
    auto parts = bare_parts(folder, LanguageConfig::read(text, where + " text_config"), "llava");
    set_transformers_names(*parts);
    add_flat_tower(*parts);
    const auto layer = config.value("vision_feature_layer", json(-2));
    if (!layer.is_number_integer())
        throw InputError(fmt::format("{}: vision_feature_layer = {} is not supported", where, layer.dump()),
                         "one layer is needed");
    const auto strategy = field<std::string>(config, "vision_feature_select_strategy", "default");
    if (strategy != "default" && strategy != "full")
        throw InputError(fmt::format("{}: vision_feature_select_strategy = {} is not supported", where, strategy),
                         "known here: default, full");
    if (const auto act = field<std::string>(config, "projector_hidden_act", "gelu"); act != "gelu")
        throw InputError(fmt::format("{}: projector_hidden_act = {} is not supported", where, act), "known here: gelu");
    const auto vision = config.value("vision_config", clip_vit_l14_336());
    parts->vision = make_clip_tower(vision, where + " vision_config", layer.get<int>(), strategy == "full",
                                    "vision_tower.vision_model.");
    parts->llava = std::make_shared<const LlavaFolder>(
        LlavaFolder{LlavaFolder::Layout::llava_hf, config, vision, layer.get<int>(), strategy == "full"});
    parts->projector = std::make_unique<layers::Projector>(
        layers::ProjectorConfig{parts->vision->channels, parts->language.config.hidden, 2,
                                field(config, "multimodal_projector_bias", true)},
        "multi_modal_projector.");
    parts->pads_to_square = field<std::string>(config, "image_aspect_ratio", "") == "pad";
    return parts;
}

// liuhaotian's own layout: one flat config, the tower often in a CLIP folder of its own.
std::unique_ptr<VlmParts> describe_llava_llama(const fs::path& folder, const json& config) {
    const auto where = (folder / "config.json").string();
    auto parts = bare_parts(folder, LanguageConfig::read(config, where), "llava_llama");
    const auto linears =
        layers::ProjectorConfig::linears_of(field<std::string>(config, "mm_projector_type", "linear"), where);
    auto rows = liuhaotian_names(linears);
    rows.push_back({"vision_tower.", "model.vision_tower.vision_tower."});
    parts->names = find_layout(parts->files, {{"model.embed_tokens.weight", rows}});
    if (field(config, "mm_use_im_start_end", false))
        throw InputError(where + ": mm_use_im_start_end = true is not supported");
    if (const auto merge = field<std::string>(config, "mm_patch_merge_type", "flat"); merge != "flat")
        throw InputError(fmt::format("{}: mm_patch_merge_type = {} is not supported", where, merge),
                         "known here: flat");

    set_mm_tower(*parts, config, where);
    parts->projector = std::make_unique<layers::Projector>(
        layers::ProjectorConfig{parts->vision->channels, parts->language.config.hidden, linears, true},
        "multi_modal_projector.");
    parts->style = &text::conversation_style("vicuna_v1");
    parts->pads_to_square = field<std::string>(config, "image_aspect_ratio", "") == "pad";
    if (parts->pictures) parts->pictures->tile.pad_square = parts->pads_to_square;
    return parts;
}

}  // namespace tg::models
