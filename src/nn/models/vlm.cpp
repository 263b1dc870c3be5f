#include "taskgalaxy/nn/models/vlm.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/heap.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "vlm_families.hpp"

namespace tg::models {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Family {
    std::string_view model_type;
    std::unique_ptr<VlmParts> (*describe)(const fs::path& folder, const json& config);
};
constexpr std::array families{
    Family{"llava", describe_llava},
    Family{"llava_llama", describe_llava_llama},
    Family{"internvl_chat", describe_internvl_chat},
    Family{"internvl", describe_internvl},
    Family{"llama", describe_language_model},
    Family{"qwen2", describe_language_model},
    Family{"internlm2", describe_language_model},
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
        if (!buffer && !(parts.vision && name.starts_with(tower)) &&
            !(parts.language.config.tied_embeddings && name == tied_head) &&
            !std::binary_search(ours.begin(), ours.end(), name))
            unknown.push_back(name);
    }
    if (!unknown.empty())
        throw InputError(fmt::format("{}: {} tensors belong to no part of a {} model: {}", parts.folder.string(),
                                     unknown.size(), parts.family, excerpt(join(unknown, ", "), 300)));
}

}  // namespace

layers::WeightNames find_layout(const storage::SafetensorsFolder& files, const std::vector<WeightLayout>& layouts) {
    for (const auto& layout : layouts)
        if (files.has(layout.probe)) return layers::WeightNames(layout.prefixes, layout.parts);
    std::vector<std::string> probes;
    for (const auto& layout : layouts) probes.push_back(layout.probe);
    throw InputError(fmt::format("{}: no layout of this family fits the weights", files.path().string()),
                     "one of these tensors was expected: " + join(probes, ", "));
}

void set_transformers_names(VlmParts& parts) {
    const std::vector<layers::WeightNames::Row> new_names{{"language_model.model.", "model.language_model."},
                                                          {"language_model.lm_head.", "lm_head."},
                                                          {"multi_modal_projector.", "model.multi_modal_projector."},
                                                          {"vision_tower.", "model.vision_tower."}};
    parts.names = find_layout(parts.files, {{"language_model.model.embed_tokens.weight", {}},
                                            {"model.language_model.embed_tokens.weight", new_names}});
    parts.class_names = layers::WeightNames(new_names);
}

std::vector<layers::WeightNames::Row> internlm2_parts() {
    return {{".self_attn.qkv_proj.", ".attention.wqkv."},
            {".self_attn.o_proj.", ".attention.wo."},
            {".mlp.gate_proj.", ".feed_forward.w1."},
            {".mlp.up_proj.", ".feed_forward.w3."},
            {".mlp.down_proj.", ".feed_forward.w2."},
            {".input_layernorm.", ".attention_norm."},
            {".post_attention_layernorm.", ".ffn_norm."},
            {"model.embed_tokens.", "model.tok_embeddings."},
            {"lm_head.", "output."}};
}

std::unique_ptr<VlmParts> bare_parts(const fs::path& folder, const LanguageConfig& language, std::string family) {
    return std::unique_ptr<VlmParts>(new VlmParts{.folder = folder,
                                                  .family = std::move(family),
                                                  .language = LanguageModel(language, "language_model."),
                                                  .files = storage::SafetensorsFolder(folder)});
}

std::unique_ptr<VlmParts> describe_language_model(const fs::path& folder, const json& config) {
    auto parts = bare_parts(folder, LanguageConfig::read(config, (folder / "config.json").string()),
                            field<std::string>(config, "model_type", ""));
    parts->names =
        find_layout(parts->files, {{"model.embed_tokens.weight", {{"language_model.", ""}}},
                                   {"model.tok_embeddings.weight", {{"language_model.", ""}}, internlm2_parts()}});
    return parts;
}

std::unique_ptr<VlmParts> VlmParts::describe(const fs::path& folder) {
    const auto config = read_model_config(folder);
    const auto where = (folder / "config.json").string();
    try {
        const auto type = field<std::string>(config, "model_type", "");
        const auto family =
            std::find_if(families.begin(), families.end(), [&](const Family& f) { return f.model_type == type; });
        if (family == families.end()) {
            std::vector<std::string> known;
            for (const auto& f : families) known.emplace_back(f.model_type);
            throw InputError(fmt::format("{}: model_type '{}' is not known", where, type),
                             "choose a model of type " + join(known, ", "));
        }
        auto parts = family->describe(folder, config);
        parts->tokenizer = text::make_language_tokenizer(folder);
        const auto& tokenizer = *parts->tokenizer;
        if (!parts->style)
            parts->style = &text::conversation_style(tokenizer.id_of("<|im_end|>") ? "chatml" : "vicuna_v1");
        parts->ends.push_back(tokenizer.eos());
        // InternVL ends at its template's token, whatever the tokenizer calls its end.
        if (const auto end = tokenizer.id_of(parts->style->end); parts->mark.in_vocabulary() && end)
            parts->ends.push_back(*end);
        check_all_are_known(*parts);
        return parts;
    } catch (const json::exception& error) {  // a field of another kind than it should be
        throw InputError(fmt::format("{}: {}", where, excerpt(error.what(), 200)));
    }
}

pictures::PictureRecipe VlmParts::picture_recipe(std::optional<bool> pad) const {
    pictures::PictureRecipe recipe;
    if (pictures) recipe = *pictures;
    else {
        // liuhaotian's folders leave the processor with the tower.
        const auto& from =
            vision_files && !fs::exists(folder / "preprocessor_config.json") ? vision_files->path() : folder;
        recipe.tile = pictures::ImageRecipe::read(from);
        recipe.tile.pad_square = recipe.tile.pad_square || pads_to_square;
        if (recipe.tile.size != vision->image_size)
            throw InputError(fmt::format("{}: pictures are made {} pixels wide, the vision tower takes {}",
                                         (from / "preprocessor_config.json").string(), recipe.tile.size,
                                         vision->image_size));
    }
    if (pad) recipe.tile.pad_square = *pad;
    return recipe;
}

torch::Tensor picture_tiles(std::span<const std::byte> file, const std::string& name,
                            const pictures::PictureRecipe& recipe, const pictures::DecodeOptions& options) {
    try {
        const auto pixels = pictures::decode_to_tiles(file, options, recipe);
        return torch::tensor(torch::ArrayRef<float>(pixels)).view({-1, 3, recipe.tile.size, recipe.tile.size});
    } catch (const pictures::UnreadableImage& error) {
        throw InputError(fmt::format("{}: {}", name, error.what()));
    }
}

std::vector<layers::Unit*> VlmParts::units() {
    std::vector<layers::Unit*> all;
    if (projector) all.push_back(&projector->unit());
    for (auto* unit : language.units()) all.push_back(unit);
    return all;
}

std::string VlmParts::class_name(const std::string& ours) const {
    return (class_names ? *class_names : names).file_name(ours);
}

void VlmParts::load_vision(torch::Device device, torch::Dtype dtype) {
    const auto fast = layers::has_fast_bf16(device) ? dtype : torch::kFloat32;
    if (vision) vision->load(vision_files ? *vision_files : files, vision_files ? vision_names : names, device, fast);
}

VisionLanguageModel::VisionLanguageModel(std::unique_ptr<VlmParts> parts) : parts_(std::move(parts)) {}
VisionLanguageModel::~VisionLanguageModel() = default;
VisionLanguageModel::VisionLanguageModel(VisionLanguageModel&&) noexcept = default;
VisionLanguageModel& VisionLanguageModel::operator=(VisionLanguageModel&&) noexcept = default;

VisionLanguageModel VisionLanguageModel::load(const fs::path& folder, torch::Device device, torch::Dtype dtype) {
    keep_freed_memory();
    auto parts = VlmParts::describe(folder);
    for (auto* unit : parts->units()) {
        unit->allocate(device, dtype);
        layers::read_unit(*unit, parts->files, parts->names);
    }
    parts->load_vision(device, dtype);
    return VisionLanguageModel(std::move(parts));
}

int VisionLanguageModel::image_size() const { return parts_->vision ? parts_->vision->image_size : 0; }
int VisionLanguageModel::image_tokens() const { return static_cast<int>(parts_->image_positions()); }
const text::LanguageTokenizer& VisionLanguageModel::tokenizer() const { return *parts_->tokenizer; }
VlmParts& VisionLanguageModel::parts() const { return *parts_; }

}  // namespace tg::models
