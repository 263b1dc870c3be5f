// InternVL 1.5 and 2 as OpenGVLab lays them out (configuration_internvl_chat.py, modeling_internvl_chat.py), and
// transformers' own layout of the same models (models/internvl): InternViT, pixel shuffle, mlp1, and InternLM2, LLaMA
// or Qwen2; pictures as tiles.
#include <fmt/format.h>

#include "intern_vit.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "vlm_families.hpp"

namespace tg::models {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

PixelShuffle shuffle_of(const json& config, const std::string& where, const char* version) {
    if (const auto ratio = field(config, "downsample_ratio", 0.5); ratio != 0.5)
        throw InputError(fmt::format("{}: downsample_ratio = {} is not supported", where, ratio), "known here: 0.5");
    const auto told = field<std::string>(config, "ps_version", version);
    if (told == "v1") return PixelShuffle::v1;
    if (told == "v2") return PixelShuffle::v2;
    throw InputError(fmt::format("{}: ps_version = {} is not supported", where, told), "known here: v1, v2");
}

pictures::TileRule tile_rule(const json& config, const std::string& where, const char* least, const char* most,
                             int most_otherwise, bool thumbnail) {
    const pictures::TileRule rule{field(config, least, 1), field(config, most, most_otherwise), thumbnail};
    if (rule.min_tiles < 1 || rule.max_tiles < rule.min_tiles || rule.max_tiles > 1024)
        throw InputError(
            fmt::format("{}: {} = {} and {} = {} make no tiles", where, least, rule.min_tiles, most, rule.max_tiles));
    return rule;
}

void set_tower(VlmParts& parts, const json& vision, const std::string& where, const InternVitOptions& options,
               const std::string& prefix) {
    parts.vision = make_intern_vit(vision, where, options, prefix);
    parts.projector = std::make_unique<layers::Projector>(
        layers::ProjectorConfig{parts.vision->channels, parts.language.config.hidden, 2, true, true},
        "multi_modal_projector.");
    parts.mark = text::internvl_mark;
}

}  // namespace

std::unique_ptr<VlmParts> describe_internvl_chat(const fs::path& folder, const json& config) {
    const auto where = (folder / "config.json").string();
    if (!config.contains("llm_config") || !config.contains("vision_config"))
        throw InputError(where + ": llm_config or vision_config is missing");
    auto llm = config.at("llm_config");
    // The architecture decides, as in the reference; a model_type may say less.
    const auto architectures = llm.value("architectures", json::array());
    const auto architecture = architectures.is_array() && !architectures.empty() && architectures[0].is_string()
                                  ? architectures[0].get<std::string>()
                                  : std::string();
    if (architecture == "InternLM2ForCausalLM") llm["model_type"] = "internlm2";
    else if (architecture == "LlamaForCausalLM") llm["model_type"] = "llama";
    else if (architecture == "Qwen2ForCausalLM") llm["model_type"] = "qwen2";
    else
        throw InputError(fmt::format("{}: llm_config.architectures = {} is not supported", where, architectures.dump()),
                         "known here: InternLM2ForCausalLM, LlamaForCausalLM, Qwen2ForCausalLM");
    llm["tie_word_embeddings"] = false;  // the reference sets it so, whatever the file says
    for (const auto* adapter : {"use_backbone_lora", "use_llm_lora"})
        if (field(config, adapter, 0) != 0)
            throw InputError(fmt::format("{}: {} = {} is not supported", where, adapter, config[adapter].dump()),
                             "merge the adapter into the weights first");

    auto parts = bare_parts(folder, LanguageConfig::read(llm, where + " llm_config"), "internvl_chat");
    const std::vector<layers::WeightNames::Row> rows{{"multi_modal_projector.layer_norm.", "mlp1.0."},
                                                     {"multi_modal_projector.linear_1.", "mlp1.1."},
                                                     {"multi_modal_projector.linear_2.", "mlp1.3."},
                                                     {"vision_tower.", "vision_model."}};
    parts->names = find_layout(parts->files, {{"language_model.model.embed_tokens.weight", rows},
                                              {"language_model.model.tok_embeddings.weight", rows, internlm2_parts()}});
    // force_image_size decides how large pictures are, and the tower's positions follow.
    set_tower(*parts, config.at("vision_config"), where + " vision_config",
              {.layer = field(config, "select_layer", -1),
               .image_size = field(config, "force_image_size", 0),
               .shuffle = shuffle_of(config, where, "v1")},
              "vision_tower.");

    const auto name = field<std::string>(config, "template", "");
    if (name.empty())
        throw InputError(where + ": template is missing",
                         "it names the turns the model was trained with, for example internlm2-chat");
    try {
        parts->style = &text::conversation_style(name);
    } catch (const UsageError& error) {
        throw InputError(fmt::format("{}: template: {}", where, error.what()));
    }
    if (const auto said = field<std::string>(config, "system_message", "");
        !said.empty() && parts->style->system.find(said) == std::string_view::npos)
        throw InputError(fmt::format("{}: system_message = {} is not that of its template {}", where, said, name),
                         "remove it: the template's is used");

    const bool tiled = field(config, "dynamic_image_size", false);
    parts->pictures.emplace();
    parts->pictures->tile =
        pictures::ImageRecipe::exact(parts->vision->image_size, pictures::imagenet_mean, pictures::imagenet_std);
    parts->pictures->tile.pad_square = field(config, "pad2square", false);
    if (tiled)
        parts->pictures->rule = tile_rule(config, where, "min_dynamic_patch", "max_dynamic_patch", 6,
                                          field(config, "use_thumbnail", false));
    return parts;
}

std::unique_ptr<VlmParts> describe_internvl(const fs::path& folder, const json& config) {
    const auto where = (folder / "config.json").string();
    if (!config.contains("text_config") || !config.contains("vision_config"))
        throw InputError(where + ": text_config or vision_config is missing");
    auto text = config.at("text_config");
    const storage::SafetensorsFolder files(folder);
    const bool has_head = files.has("lm_head.weight") || files.has("language_model.lm_head.weight");
    // A head of its own in the files is the head, whatever is said about ties.
    text["tie_word_embeddings"] =
        !has_head && field(config, "tie_word_embeddings", field(text, "tie_word_embeddings", true));

    auto parts = bare_parts(folder, LanguageConfig::read(text, where + " text_config"), "internvl");
    set_transformers_names(*parts);
    if (const auto act = field<std::string>(config, "projector_hidden_act", "gelu"); act != "gelu")
        throw InputError(fmt::format("{}: projector_hidden_act = {} is not supported", where, act), "known here: gelu");
    if (const auto strategy = field<std::string>(config, "vision_feature_select_strategy", "default");
        strategy != "default")
        throw InputError(fmt::format("{}: vision_feature_select_strategy = {} is not supported", where, strategy),
                         "known here: default");
    const auto layer = config.value("vision_feature_layer", json(-1));
    if (!layer.is_number_integer())
        throw InputError(fmt::format("{}: vision_feature_layer = {} is not supported", where, layer.dump()),
                         "one layer is needed");
    set_tower(
        *parts, config.at("vision_config"), where + " vision_config",
        {.files = InternVitFiles::transformers, .layer = layer.get<int>(), .shuffle = shuffle_of(config, where, "v2")},
        "vision_tower.");
    parts->style = &text::conversation_style("internvl-hf");

    // What its processor does: tiles, unless the folder says otherwise.
    const auto processor = read_json_if_any(folder / "preprocessor_config.json");
    parts->pictures.emplace();
    parts->pictures->tile =
        processor.empty()
            ? pictures::ImageRecipe::exact(parts->vision->image_size, pictures::imagenet_mean, pictures::imagenet_std)
            : pictures::ImageRecipe::read(folder);
    if (field(processor, "crop_to_patches", true))
        parts->pictures->rule = tile_rule(processor, (folder / "preprocessor_config.json").string(), "min_patches",
                                          "max_patches", 12, true);
    return parts;
}

}  // namespace tg::models
