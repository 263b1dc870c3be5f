#include "taskgalaxy/nn/vlm.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "clip_tower.hpp"
#include "json_file.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/vlm_parts.hpp"

namespace tg {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

template <class T> T field(const json& config, const char* name, T otherwise) {
    const auto found = config.find(name);
    return found == config.end() || found->is_null() ? otherwise : found->get<T>();
}

json read_config(const fs::path& folder) {
    const auto file = folder / "config.json";
    if (!fs::exists(file)) throw InputError(fmt::format("{} holds no config.json", folder.string()), "give a local Hugging Face model folder");
    return read_json(file);
}

// Where the tensors of one family may lie; the layout whose `probe` is in the files is taken.
struct Layout {
    std::string probe;
    std::vector<WeightNames::Row> prefixes;
};
WeightNames find_layout(const SafetensorsFolder& files, const std::vector<Layout>& layouts) {
    for (const auto& layout : layouts)
        if (files.has(layout.probe)) return WeightNames(layout.prefixes);
    std::vector<std::string> probes;
    for (const auto& layout : layouts) probes.push_back(layout.probe);
    throw InputError(fmt::format("{}: no layout of this family fits the weights", files.path().string()), "one of these tensors was expected: " + join(probes, ", "));
}

using Describe = std::unique_ptr<VlmParts> (*)(const fs::path& folder, const json& config);

std::unique_ptr<VlmParts> bare(const fs::path& folder, const LanguageConfig& language, std::string family) {
    return std::unique_ptr<VlmParts>(new VlmParts{.folder = folder, .family = std::move(family), .language = LanguageModel(language, "language_model."), .files = SafetensorsFolder(folder)});
}

// transformers 5 saves the tower of a new model without the level `vision_model.`.
void add_flat_tower(VlmParts& parts) {
    const auto flat = parts.names.file_name("vision_tower.");
    if (parts.files.has(flat + "embeddings.class_embedding")) parts.names.put_first({"vision_tower.vision_model.", flat});
}

// llava-hf (old and new names): text_config, vision_config.
std::unique_ptr<VlmParts> describe_llava(const fs::path& folder, const json& config) {
    const auto where = (folder / "config.json").string();
    auto text = config.value("text_config", json::object());
    if (config.contains("tie_word_embeddings") && !text.contains("tie_word_embeddings")) text["tie_word_embeddings"] = config["tie_word_embeddings"];
    auto parts = bare(folder, LanguageConfig::read(text, where + " text_config"), "llava");
    parts->names = find_layout(parts->files, {{"language_model.model.embed_tokens.weight", {}},
                                              {"model.language_model.embed_tokens.weight",
                                               {{"language_model.model.", "model.language_model."}, {"language_model.lm_head.", "lm_head."}, {"multi_modal_projector.", "model.multi_modal_projector."}, {"vision_tower.", "model.vision_tower."}}}});
    add_flat_tower(*parts);
    const auto layer = config.value("vision_feature_layer", json(-2));
    if (!layer.is_number_integer()) throw InputError(fmt::format("{}: vision_feature_layer = {} is not supported", where, layer.dump()), "one layer is needed");
    const auto strategy = field<std::string>(config, "vision_feature_select_strategy", "default");
    if (strategy != "default" && strategy != "full") throw InputError(fmt::format("{}: vision_feature_select_strategy = {} is not supported", where, strategy), "known here: default, full");
    if (const auto act = field<std::string>(config, "projector_hidden_act", "gelu"); act != "gelu") throw InputError(fmt::format("{}: projector_hidden_act = {} is not supported", where, act), "known here: gelu");
    // A missing vision_config means CLIP ViT-L/14-336, as transformers fills it.
    const json tower_default{{"hidden_size", 1024}, {"intermediate_size", 4096}, {"num_hidden_layers", 24}, {"num_attention_heads", 16}, {"image_size", 336}, {"patch_size", 14}};
    const auto vision = config.value("vision_config", tower_default);
    parts->vision = make_clip_tower(vision, where + " vision_config", layer.get<int>(), strategy == "full", "vision_tower.vision_model.");
    parts->projector = std::make_unique<Projector>(ProjectorConfig{parts->vision->channels, parts->language.config.hidden, 2, field(config, "multimodal_projector_bias", true)}, "multi_modal_projector.");
    parts->style = &conversation_style(field<std::string>(text, "model_type", "llama") == "qwen2" ? "chatml" : "vicuna_v1");
    parts->pads_to_square = field<std::string>(config, "image_aspect_ratio", "") == "pad";
    return parts;
}

// liuhaotian's own layout: one flat config, the tower often in a CLIP folder of its own.
std::unique_ptr<VlmParts> describe_llava_llama(const fs::path& folder, const json& config) {
    const auto where = (folder / "config.json").string();
    auto parts = bare(folder, LanguageConfig::read(config, where), "llava_llama");
    const auto linears = ProjectorConfig::linears_of(field<std::string>(config, "mm_projector_type", "linear"), where);
    std::vector<WeightNames::Row> rows{{"language_model.model.", "model."}, {"language_model.lm_head.", "lm_head."}};
    for (int i = 0; i < linears; ++i) rows.push_back({fmt::format("multi_modal_projector.linear_{}.", i + 1), linears == 1 ? "model.mm_projector." : fmt::format("model.mm_projector.{}.", 2 * i)});
    rows.push_back({"vision_tower.", "model.vision_tower.vision_tower."});
    parts->names = find_layout(parts->files, {{"model.embed_tokens.weight", rows}});
    if (field(config, "mm_use_im_start_end", false)) throw InputError(where + ": mm_use_im_start_end = true is not supported");
    if (const auto merge = field<std::string>(config, "mm_patch_merge_type", "flat"); merge != "flat") throw InputError(fmt::format("{}: mm_patch_merge_type = {} is not supported", where, merge), "known here: flat");

    const fs::path tower = field<std::string>(config, "mm_vision_tower", "");
    const auto tower_folder = tower.is_absolute() ? tower : folder / tower;
    if (tower.empty() || !fs::exists(tower_folder / "config.json"))
        throw InputError(fmt::format("{}: mm_vision_tower = {} is no local folder", where, tower.string()), "put the CLIP folder there, or edit mm_vision_tower (relative to the model's folder)");
    auto vision = read_config(tower_folder);
    if (vision.contains("vision_config")) vision = json(vision["vision_config"]);
    const auto feature = field<std::string>(config, "mm_vision_select_feature", "patch");
    parts->vision = make_clip_tower(vision, (tower_folder / "config.json").string(), field(config, "mm_vision_select_layer", -2), feature == "cls_patch", "vision_tower.vision_model.");
    if (!parts->files.has("model.vision_tower.vision_tower.vision_model.embeddings.class_embedding")) {
        parts->vision_files.emplace(tower_folder);
        parts->vision_names = WeightNames(std::vector<WeightNames::Row>{{"vision_tower.", ""}});
    }
    parts->projector = std::make_unique<Projector>(ProjectorConfig{parts->vision->channels, parts->language.config.hidden, linears, true}, "multi_modal_projector.");
    parts->style = &conversation_style("vicuna_v1");
    parts->pads_to_square = field<std::string>(config, "image_aspect_ratio", "") == "pad";
    return parts;
}

std::unique_ptr<VlmParts> describe_language_model(const fs::path& folder, const json& config) {
    const auto type = field<std::string>(config, "model_type", "");
    auto parts = bare(folder, LanguageConfig::read(config, (folder / "config.json").string()), type);
    parts->names = find_layout(parts->files, {{"model.embed_tokens.weight", {{"language_model.", ""}}}});
    parts->style = &conversation_style(parts->tokenizer && parts->tokenizer->id_of("<|im_end|>") ? "chatml" : "vicuna_v1");
    return parts;
}

struct Family {
    std::string_view model_type;
    Describe describe;
};
constexpr std::array families{
    Family{"llava", describe_llava},
    Family{"llava_llama", describe_llava_llama},
    Family{"llama", describe_language_model},
    Family{"qwen2", describe_language_model},
};

// Tensors that no unit of ours asks for: forgotten weights would be a silent error.
void check_all_are_known(VlmParts& parts) {
    std::vector<std::string> ours, unknown;
    for (const auto* unit : parts.units())
        for (const auto& parameter : unit->parameters)
            for (const auto& piece : parameter.pieces) ours.push_back(parts.names.file_name(piece.name));
    std::sort(ours.begin(), ours.end());
    const auto tower = parts.names.file_name("vision_tower.");
    const auto tied_head = parts.names.file_name("language_model.lm_head.weight");
    for (const auto& [name, info] : parts.files.tensors()) {
        const bool buffer = name.ends_with("rotary_emb.inv_freq") || name.ends_with("position_ids");
        if (!buffer && !(parts.vision && name.starts_with(tower)) && !(parts.language.config.tied_embeddings && name == tied_head) && !std::binary_search(ours.begin(), ours.end(), name)) unknown.push_back(name);
    }
    if (!unknown.empty())
        throw InputError(fmt::format("{}: {} tensors belong to no part of a {} model: {}", parts.folder.string(), unknown.size(), parts.family, excerpt(join(unknown, ", "), 300)));
}

}  // namespace

std::unique_ptr<VlmParts> VlmParts::describe(const fs::path& folder) {
    const auto config = read_config(folder);
    const auto type = field<std::string>(config, "model_type", "");
    const auto family = std::find_if(families.begin(), families.end(), [&](const Family& f) { return f.model_type == type; });
    if (family == families.end()) {
        std::vector<std::string> known;
        for (const auto& f : families) known.emplace_back(f.model_type);
        throw InputError(fmt::format("{}: model_type '{}' is not known", (folder / "config.json").string(), type), "choose a model of type " + join(known, ", "));
    }
    auto parts = family->describe(folder, config);
    parts->tokenizer = make_language_tokenizer(folder);
    if (!parts->vision && parts->tokenizer->id_of("<|im_end|>")) parts->style = &conversation_style("chatml");
    check_all_are_known(*parts);
    return parts;
}

std::vector<Unit*> VlmParts::units() {
    std::vector<Unit*> all;
    if (projector) all.push_back(&projector->unit());
    for (auto* unit : language.units()) all.push_back(unit);
    return all;
}

void VlmParts::load_vision(torch::Device device, torch::Dtype dtype) {
    if (vision) vision->load(vision_files ? *vision_files : files, vision_files ? vision_names : names, device, dtype);
}

VisionLanguageModel::VisionLanguageModel(std::unique_ptr<VlmParts> parts) : parts_(std::move(parts)) {}
VisionLanguageModel::~VisionLanguageModel() = default;
VisionLanguageModel::VisionLanguageModel(VisionLanguageModel&&) noexcept = default;
VisionLanguageModel& VisionLanguageModel::operator=(VisionLanguageModel&&) noexcept = default;

VisionLanguageModel VisionLanguageModel::load(const fs::path& folder, torch::Device device, torch::Dtype dtype) {
    auto parts = VlmParts::describe(folder);
    for (auto* unit : parts->units()) {
        unit->allocate(device, dtype);
        read_unit(*unit, parts->files, parts->names);
    }
    parts->load_vision(device, dtype);
    return VisionLanguageModel(std::move(parts));
}

int VisionLanguageModel::image_size() const { return parts_->vision ? parts_->vision->image_size : 0; }
int VisionLanguageModel::image_tokens() const { return static_cast<int>(parts_->image_positions()); }
const LanguageTokenizer& VisionLanguageModel::tokenizer() const { return *parts_->tokenizer; }
VlmParts& VisionLanguageModel::parts() const { return *parts_; }

}  // namespace tg
