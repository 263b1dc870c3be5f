// A LLaVA of a CLIP and a LLaMA in the layout of transformers (llava-hf) and in that of LLaVA's own code (liuhaotian).
#include <algorithm>

#include <fmt/format.h>

#include "added_tokens.hpp"
#include "converted_weights.hpp"
#include "layouts.hpp"
#include "llava_folder.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::models {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::string_view tower_folder_name = "vision_tower";

void check_is_llava(const VlmParts& parts, std::string_view layout) {
    if (!parts.llava)
        throw InputError(fmt::format("{} is no LLaVA (family {})", parts.folder.string(), parts.family),
                         fmt::format("layout {} is LLaVA's; use --layout same", layout));
    if (parts.language.config.qkv_bias)
        throw InputError(fmt::format("{}: a LLaVA of a Qwen2 has no liuhaotian layout", parts.folder.string()),
                         "use --layout same");
}

bool is_hf(const VlmParts& parts) { return parts.llava->layout == LlavaFolder::Layout::llava_hf; }

// Where llava-hf's own tokens begin: <image>, <pad>.
std::int64_t image_token_of(const json& config) {
    return field(config, "image_token_index", field(config, "image_token_id", std::int64_t{32000}));
}

json tower_config(const LlavaFolder& llava) {
    auto tower = llava.tower;
    tower["model_type"] = "clip_vision_model";
    return tower;
}

json language_config(const VlmParts& parts, std::int64_t rows) {
    const auto& c = parts.language.config;
    const auto& from = is_hf(parts) ? parts.llava->config.at("text_config") : parts.llava->config;
    json out{{"hidden_size", c.hidden},
             {"intermediate_size", c.intermediate},
             {"num_hidden_layers", c.layers},
             {"num_attention_heads", c.heads},
             {"num_key_value_heads", c.kv_heads},
             {"head_dim", c.head_dim},
             {"vocab_size", rows},
             {"max_position_embeddings", c.context},
             {"rms_norm_eps", c.norm_eps},
             {"rope_theta", c.rope_theta},
             {"hidden_act", "silu"},
             {"attention_bias", false},
             {"mlp_bias", false},
             {"tie_word_embeddings", c.tied_embeddings}};
    for (const auto* key : {"bos_token_id", "eos_token_id", "pad_token_id", "initializer_range"})
        if (const auto found = from.find(key); found != from.end() && !found->is_null()) out[key] = *found;
    return out;
}

json common_config(const VlmParts& parts, const char* architecture, const char* type) {
    json out{{"architectures", {architecture}}, {"model_type", type}};
    for (const auto* key : {"torch_dtype", "dtype"})
        if (const auto found = parts.llava->config.find(key); found != parts.llava->config.end() && !found->is_null())
            out["torch_dtype"] = *found;
    if (parts.pads_to_square) out["image_aspect_ratio"] = "pad";
    return out;
}

// The processor of a model whose files may lie with its tower.
fs::path processor_of(const VlmParts& parts) {
    return (parts.vision_files ? parts.vision_files->path() : parts.folder) / "preprocessor_config.json";
}

void copy_file_if_any(const fs::path& from, const fs::path& to) {
    if (fs::exists(from)) storage::publish_text(to, read_text_file(from));
}

void write_json(const fs::path& file, const json& value) { storage::publish_text(file, value.dump(2) + "\n"); }

json llava_hf_config(const VlmParts& parts, const json& tower, std::int64_t rows, std::int64_t image_token) {
    const auto& llava = *parts.llava;
    auto text = language_config(parts, rows);
    text["model_type"] = "llama";
    if (!is_hf(parts)) text["pad_token_id"] = image_token + 1;
    auto config = common_config(parts, "LlavaForConditionalGeneration", "llava");
    config.update(json{{"text_config", std::move(text)},
                       {"vision_config", tower},
                       {"image_token_index", image_token},
                       {"image_seq_length", parts.vision->positions},
                       {"vision_feature_layer", llava.layer},
                       {"vision_feature_select_strategy", llava.keeps_cls ? "full" : "default"},
                       {"projector_hidden_act", "gelu"},
                       {"multimodal_projector_bias", parts.projector->config().bias},
                       {"tie_word_embeddings", parts.language.config.tied_embeddings}});
    return config;
}

json llava_hf_processor(const LlavaFolder& llava, const json& tower) {
    return {{"processor_class", "LlavaProcessor"},
            {"patch_size", tower.value("patch_size", 32)},
            {"vision_feature_select_strategy", llava.keeps_cls ? "full" : "default"},
            {"image_token", "<image>"},
            {"num_additional_image_tokens", 1}};
}

// Rows of a llava-hf's vocabulary that are the language model's own: what llava-hf added lies behind them.
std::int64_t own_rows(const VlmParts& parts) {
    const auto image_token = image_token_of(parts.llava->config);
    const auto& added = parts.tokenizer->added_tokens();
    const bool own_behind = std::any_of(added.begin(), added.end(), [&](const text::AddedToken& token) {
        return token.id > image_token && token.text != "<pad>";
    });
    if (image_token < 1 || image_token > parts.language.config.vocabulary || own_behind)
        throw InputError(fmt::format("{}: image_token_index {} is not behind the language model's own tokens",
                                     parts.folder.string(), image_token));
    return image_token;
}

json liuhaotian_config(const VlmParts& parts, std::int64_t rows) {
    const auto& llava = *parts.llava;
    auto config = common_config(parts, "LlavaLlamaForCausalLM", "llava_llama");
    config.update(language_config(parts, rows));
    if (config.contains("pad_token_id") && config["pad_token_id"] >= rows) config["pad_token_id"] = 0;
    const auto linears = parts.projector->config().linears;
    config.update(json{{"mm_vision_tower", tower_folder_name},
                       {"mm_hidden_size", parts.vision->channels},
                       {"mm_projector_type", linears == 1 ? "linear" : fmt::format("mlp{}x_gelu", linears)},
                       {"mm_vision_select_layer", llava.layer},
                       {"mm_vision_select_feature", llava.keeps_cls ? "cls_patch" : "patch"},
                       {"mm_use_im_start_end", false},
                       {"mm_use_im_patch_token", false},
                       {"mm_patch_merge_type", "flat"},
                       {"use_mm_proj", true}});
    return config;
}

// The tower in a folder of its own, as LLaVA's code loads it.
ConvertedModel write_tower_folder(const VlmParts& parts, const fs::path& folder) {
    fs::create_directories(folder);
    const auto tower = tower_copies(parts, "vision_model.");
    std::vector<storage::TensorSpec> specs;
    tower.add_specs(specs);
    const auto count = specs.size();
    storage::SafetensorsWriter writer(folder, std::move(specs));
    tower.write(writer);
    const auto done = finished(writer, count);
    copy_file_if_any(processor_of(parts), folder / "preprocessor_config.json");
    auto config = tower_config(*parts.llava);
    config["architectures"] = {"CLIPVisionModel"};
    write_json(folder / "config.json", config);
    return done;
}

}  // namespace

ConvertedModel write_llava_hf(VlmParts& parts, const fs::path& output) {
    check_is_llava(parts, "llava-hf");
    if (parts.projector->config().linears != 2)
        throw InputError(fmt::format("{}: a projector of {} linears has no llava-hf layout", parts.folder.string(),
                                     parts.projector->config().linears),
                         "mlp2x_gelu has");
    copy_small_files(parts.folder, output, {"config.json"});
    if (!fs::exists(output / "preprocessor_config.json"))
        copy_file_if_any(processor_of(parts), output / "preprocessor_config.json");
    auto rows = parts.language.config.vocabulary;
    auto image_token = image_token_of(parts.llava->config);
    if (!is_hf(parts)) {
        image_token = rows;
        add_image_and_pad(output, image_token);
        rows = (rows + 2 + 63) / 64 * 64;
    }
    const auto tower_json = tower_config(*parts.llava);
    const auto config = llava_hf_config(parts, tower_json, rows, image_token);
    write_json(output / "processor_config.json", llava_hf_processor(*parts.llava, tower_json));

    const Target target{layers::WeightNames(), rows};  // our names are llava-hf's
    const auto tower = tower_copies(parts, "vision_tower.vision_model.");
    std::vector<storage::TensorSpec> specs;
    add_specs(parts, target, specs);
    tower.add_specs(specs);
    const auto count = specs.size();
    storage::SafetensorsWriter writer(output, std::move(specs));
    write_units(parts, target, writer);
    tower.write(writer);
    const auto done = finished(writer, count);
    write_json(output / "config.json", config);
    return done;
}

ConvertedModel write_liuhaotian(VlmParts& parts, const fs::path& output) {
    check_is_llava(parts, "liuhaotian");
    if (!parts.projector->config().bias)
        throw InputError(parts.folder.string() + ": a projector without biases has no liuhaotian layout");
    copy_small_files(parts.folder, output, {"config.json", "processor_config.json"});
    auto rows = parts.language.config.vocabulary;
    if (is_hf(parts)) {
        rows = own_rows(parts);
        drop_tokens_from(output, rows);
    }
    const auto config = liuhaotian_config(parts, rows);
    const auto tower = write_tower_folder(parts, output / tower_folder_name);

    const Target target{layers::WeightNames(liuhaotian_names(parts.projector->config().linears)), rows};
    std::vector<storage::TensorSpec> specs;
    add_specs(parts, target, specs);
    const auto count = specs.size();
    storage::SafetensorsWriter writer(output, std::move(specs));
    write_units(parts, target, writer);
    auto done = finished(writer, count);
    write_json(output / "config.json", config);
    done.tensors += tower.tensors;
    done.bytes += tower.bytes;
    return done;
}

}  // namespace tg::models
