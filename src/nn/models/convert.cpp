#include "taskgalaxy/nn/models/convert.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "vlm_families.hpp"

namespace tg::models {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::string_view tower_folder_name = "vision_tower";

// A LLaVA on its way: what the two layouts say differently.
struct Llava {
    VlmParts& parts;
    json config;         // as read
    bool from_hf;        // llava-hf, else liuhaotian
    json vision;         // the tower's configuration
    std::int64_t layer;  // of the tower
    bool keeps_cls;
};

Llava read_llava(VlmParts& parts, std::string_view layout) {
    if (parts.family != "llava" && parts.family != "llava_llama")
        throw InputError(fmt::format("{} is no LLaVA (family {})", parts.folder.string(), parts.family),
                         fmt::format("layout {} is LLaVA's; use --layout same", layout));
    if (parts.language.config.qkv_bias)
        throw InputError(fmt::format("{}: a LLaVA of a Qwen2 has no liuhaotian layout", parts.folder.string()),
                         "use --layout same");
    Llava llava{parts, read_model_config(parts.folder), parts.family == "llava", {}, -2, false};
    const auto& config = llava.config;
    if (llava.from_hf) {
        llava.vision = config.value("vision_config", json{{"hidden_size", 1024},
                                                          {"intermediate_size", 4096},
                                                          {"num_hidden_layers", 24},
                                                          {"num_attention_heads", 16},
                                                          {"image_size", 336},
                                                          {"patch_size", 14},
                                                          {"projection_dim", 768}});
        llava.layer = field(config, "vision_feature_layer", -2);
        llava.keeps_cls = field<std::string>(config, "vision_feature_select_strategy", "default") == "full";
    } else {
        const fs::path tower = config.at("mm_vision_tower").get<std::string>();
        llava.vision = read_model_config(tower.is_absolute() ? tower : parts.folder / tower);
        if (llava.vision.contains("vision_config")) llava.vision = json(llava.vision["vision_config"]);
        llava.layer = field(config, "mm_vision_select_layer", -2);
        llava.keeps_cls = field<std::string>(config, "mm_vision_select_feature", "patch") == "cls_patch";
    }
    llava.vision["model_type"] = "clip_vision_model";
    return llava;
}

json language_config(const Llava& llava, std::int64_t rows) {
    const auto& c = llava.parts.language.config;
    const auto& from = llava.from_hf ? llava.config.at("text_config") : llava.config;
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

json common_config(const Llava& llava, const char* architecture, const char* type) {
    json out{{"architectures", {architecture}}, {"model_type", type}};
    for (const auto* key : {"torch_dtype", "dtype"})
        if (const auto found = llava.config.find(key); found != llava.config.end() && !found->is_null())
            out["torch_dtype"] = *found;
    if (llava.parts.pads_to_square) out["image_aspect_ratio"] = "pad";
    return out;
}

// A change to each of the JSON files in which a tokenizer's folder tells of added tokens.
struct TokenEdit {
    std::function<void(json& config)> tokenizer_config;
    std::function<void(json& ids_of_texts)> added_tokens;
    std::function<void(json& entries)> tokenizer;  // of its list added_tokens
    bool makes_added_tokens;                       // where the folder has no such file
};

void edit_tokens(const fs::path& folder, const TokenEdit& edit) {
    if (const auto file = folder / "tokenizer_config.json"; fs::exists(file)) {
        auto config = read_json(file);
        if (auto& decoder = config["added_tokens_decoder"]; decoder.is_null()) decoder = json::object();
        edit.tokenizer_config(config);
        storage::publish_text(file, config.dump(2) + "\n");
    }
    if (const auto file = folder / "added_tokens.json"; fs::exists(file) || edit.makes_added_tokens) {
        auto ids = read_json_if_any(file);
        edit.added_tokens(ids);
        storage::publish_text(file, ids.dump(2) + "\n");
    }
    if (const auto file = folder / "tokenizer.json"; fs::exists(file)) {
        auto description = read_json(file);
        auto& entries = description["added_tokens"];
        if (entries.is_null()) entries = json::array();
        edit.tokenizer(entries);
        storage::publish_text(file, description.dump() + "\n");
    }
}

// llava-hf's two tokens behind the language model's own.
void add_image_and_pad(const fs::path& folder, std::int64_t image) {
    const std::array<std::pair<std::int64_t, const char*>, 2> tokens{{{image, "<image>"}, {image + 1, "<pad>"}}};
    const auto entry = [](const char* text) {
        return json{{"content", text}, {"lstrip", false},      {"normalized", false},
                    {"rstrip", false}, {"single_word", false}, {"special", true}};
    };
    edit_tokens(folder, {.tokenizer_config =
                             [&](json& config) {
                                 for (const auto& [id, text] : tokens)
                                     config["added_tokens_decoder"][std::to_string(id)] = entry(text);
                                 config["pad_token"] = "<pad>";
                             },
                         .added_tokens =
                             [&](json& ids) {
                                 for (const auto& [id, text] : tokens) ids[text] = id;
                             },
                         .tokenizer =
                             [&](json& entries) {
                                 for (const auto& [id, text] : tokens) {
                                     entries.push_back(entry(text));
                                     entries.back()["id"] = id;
                                 }
                             },
                         .makes_added_tokens = true});
}

void drop_tokens_from(const fs::path& folder, std::int64_t first) {
    const auto drop = [](json& from, const auto& is_dropped) {
        for (auto it = from.begin(); it != from.end();) it = is_dropped(it) ? from.erase(it) : std::next(it);
    };
    edit_tokens(
        folder,
        {.tokenizer_config =
             [&](json& config) {
                 drop(config["added_tokens_decoder"], [&](const auto& it) { return std::stoll(it.key()) >= first; });
                 if (config.value("pad_token", json()) == "<pad>")
                     config["pad_token"] = config.value("unk_token", json("<unk>"));
             },
         .added_tokens =
             [&](json& ids) { drop(ids, [&](const auto& it) { return it->template get<std::int64_t>() >= first; }); },
         .tokenizer =
             [&](json& entries) {
                 drop(entries, [&](const auto& it) { return it->at("id").template get<std::int64_t>() >= first; });
             },
         .makes_added_tokens = false});
}

// A table of `rows` rows: the first ones of `table`, and their mean where it has less.
torch::Tensor with_rows(const torch::Tensor& table, std::int64_t rows) {
    if (rows <= table.size(0)) return table.narrow(0, 0, rows);
    const auto mean = table.to(torch::kFloat32).mean(0, true).to(table.scalar_type());
    return torch::cat({table, mean.expand({rows - table.size(0), table.size(1)})});
}

// Writes every unit, one in memory at a time. `name` says where a piece goes ("": nowhere), `rows` how many rows of the
// vocabulary it gets.
struct Target {
    layers::WeightNames names;
    std::int64_t rows;
};
bool is_vocabulary(const std::string& ours) {
    return ours.ends_with("embed_tokens.weight") || ours.ends_with("lm_head.weight");
}

void add_specs(VlmParts& parts, const Target& target, std::vector<storage::TensorSpec>& specs) {
    for (const auto* unit : parts.units())
        for (const auto& parameter : unit->parameters)
            for (const auto& piece : parameter.pieces) {
                auto info = parts.files.info(parts.names.file_name(piece.name));
                if (is_vocabulary(piece.name)) info.shape[0] = target.rows;
                specs.push_back({target.names.file_name(piece.name), info});
            }
}

void write_units(VlmParts& parts, const Target& target, storage::SafetensorsWriter& writer) {
    for (auto* unit : parts.units()) {
        unit->allocate(torch::kCPU, torch::kFloat32);  // holds every bf16, fp16 and fp32 exactly
        layers::read_unit(*unit, parts.files, parts.names);
        for (auto& parameter : unit->parameters) {
            layers::write_parameter(parameter, [&](const layers::FilePiece& piece, const torch::Tensor& tensor) {
                layers::write_tensor(writer, target.names.file_name(piece.name),
                                     is_vocabulary(piece.name) ? with_rows(tensor, target.rows) : tensor,
                                     parts.files.info(parts.names.file_name(piece.name)).type);
            });
            parameter.value = torch::Tensor();
        }
    }
}

void copy_tensor(const storage::SafetensorsFolder& files, const std::string& name, storage::SafetensorsWriter& writer,
                 const std::string& as) {
    std::vector<std::byte> bytes(files.info(name).bytes());
    files.read(name, bytes);
    writer.write(as, bytes);
}

// The tower's tensors byte by byte: those whose names begin with `from` go under `to`.
struct Copies {
    const storage::SafetensorsFolder& files;
    std::string from, to;
    bool takes(const std::string& name) const {
        if (!name.starts_with(from) || name.ends_with("position_ids")) return false;
        constexpr std::array tops{"embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm."};
        return std::any_of(tops.begin(), tops.end(), [&](const char* top) {
            return std::string_view(name).substr(from.size()).starts_with(top);
        });
    }
    void add_specs(std::vector<storage::TensorSpec>& specs) const {
        for (const auto& [name, info] : files.tensors())
            if (takes(name)) specs.push_back({to + name.substr(from.size()), info});
    }
    void write(storage::SafetensorsWriter& writer) const {
        for (const auto& [name, info] : files.tensors())
            if (takes(name)) copy_tensor(files, name, writer, to + name.substr(from.size()));
    }
};
Copies tower_copies(const VlmParts& parts, std::string to) {
    const auto& names = parts.vision_files ? parts.vision_names : parts.names;
    return {parts.vision_files ? *parts.vision_files : parts.files, names.file_name("vision_tower.vision_model."),
            std::move(to)};
}

ConvertedModel finished(storage::SafetensorsWriter& writer, std::size_t tensors) {
    writer.flush();
    writer.publish();
    return {tensors, writer.bytes_written()};
}

ConvertedModel write_same(VlmParts& parts, const fs::path& output) {
    std::vector<storage::TensorSpec> specs;
    const Target target{parts.names, parts.language.config.vocabulary};
    add_specs(parts, target, specs);
    std::set<std::string> ours;
    for (const auto& spec : specs) ours.insert(spec.name);
    for (const auto& [name, info] : parts.files.tensors())
        if (!ours.contains(name)) specs.push_back({name, info});
    const auto count = specs.size();
    storage::SafetensorsWriter writer(output, std::move(specs));
    write_units(parts, target, writer);
    for (const auto& [name, info] : parts.files.tensors())
        if (!ours.contains(name)) copy_tensor(parts.files, name, writer, name);
    const auto done = finished(writer, count);
    copy_side_files(parts, output);
    return done;
}

ConvertedModel write_llava_hf(VlmParts& parts, const fs::path& output) {
    auto llava = read_llava(parts, "llava-hf");
    if (parts.projector->config().linears != 2)
        throw InputError(fmt::format("{}: a projector of {} linears has no llava-hf layout", parts.folder.string(),
                                     parts.projector->config().linears),
                         "mlp2x_gelu has");
    auto rows = parts.language.config.vocabulary;
    auto image_token =
        field(llava.config, "image_token_index", field(llava.config, "image_token_id", std::int64_t{32000}));
    copy_small_files(parts.folder, output, {"config.json"});
    if (parts.vision_files && !fs::exists(output / "preprocessor_config.json") &&
        fs::exists(parts.vision_files->path() / "preprocessor_config.json"))
        storage::publish_text(output / "preprocessor_config.json",
                              read_text_file(parts.vision_files->path() / "preprocessor_config.json"));
    if (!llava.from_hf) {
        image_token = rows;
        add_image_and_pad(output, image_token);
        rows = (rows + 2 + 63) / 64 * 64;
    }
    auto text = language_config(llava, rows);
    text["model_type"] = "llama";
    if (!llava.from_hf) text["pad_token_id"] = image_token + 1;
    auto config = common_config(llava, "LlavaForConditionalGeneration", "llava");
    config.update(json{{"text_config", std::move(text)},
                       {"vision_config", llava.vision},
                       {"image_token_index", image_token},
                       {"image_seq_length", parts.vision->positions},
                       {"vision_feature_layer", llava.layer},
                       {"vision_feature_select_strategy", llava.keeps_cls ? "full" : "default"},
                       {"projector_hidden_act", "gelu"},
                       {"multimodal_projector_bias", parts.projector->config().bias},
                       {"tie_word_embeddings", parts.language.config.tied_embeddings}});
    storage::publish_text(output / "processor_config.json",
                          json{
                              {"processor_class", "LlavaProcessor"},
                              {"patch_size", llava.vision.value("patch_size", 32)},
                              {"vision_feature_select_strategy", llava.keeps_cls ? "full" : "default"},
                              {"image_token", "<image>"},
                              {"num_additional_image_tokens",
                               1}}.dump(2) +
                              "\n");

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
    storage::publish_text(output / "config.json", config.dump(2) + "\n");
    return done;
}

ConvertedModel write_liuhaotian(VlmParts& parts, const fs::path& output) {
    auto llava = read_llava(parts, "liuhaotian");
    if (!parts.projector->config().bias)
        throw InputError(parts.folder.string() + ": a projector without biases has no liuhaotian layout");
    auto rows = parts.language.config.vocabulary;
    copy_small_files(parts.folder, output, {"config.json", "processor_config.json"});
    if (llava.from_hf) {
        // What llava-hf added lies behind the language model's own tokens.
        const auto image_token =
            field(llava.config, "image_token_index", field(llava.config, "image_token_id", std::int64_t{32000}));
        const auto& added = parts.tokenizer->added_tokens();
        const bool own_behind = std::any_of(added.begin(), added.end(), [&](const text::AddedToken& token) {
            return token.id > image_token && token.text != "<pad>";
        });
        if (image_token < 1 || image_token > rows || own_behind)
            throw InputError(fmt::format("{}: image_token_index {} is not behind the language model's own tokens",
                                         parts.folder.string(), image_token));
        rows = image_token;
        drop_tokens_from(output, rows);
    }
    auto config = common_config(llava, "LlavaLlamaForCausalLM", "llava_llama");
    config.update(language_config(llava, rows));
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

    // The tower in a folder of its own, as LLaVA's code loads it.
    const auto tower_folder = output / tower_folder_name;
    fs::create_directories(tower_folder);
    const auto tower = tower_copies(parts, "vision_model.");
    std::vector<storage::TensorSpec> specs;
    tower.add_specs(specs);
    auto count = specs.size();
    storage::SafetensorsWriter tower_writer(tower_folder, std::move(specs));
    tower.write(tower_writer);
    const auto tower_done = finished(tower_writer, count);
    const auto processor =
        (parts.vision_files ? parts.vision_files->path() : parts.folder) / "preprocessor_config.json";
    if (fs::exists(processor))
        storage::publish_text(tower_folder / "preprocessor_config.json", read_text_file(processor));
    llava.vision["architectures"] = {"CLIPVisionModel"};
    storage::publish_text(tower_folder / "config.json", llava.vision.dump(2) + "\n");

    std::vector<layers::WeightNames::Row> names{{"language_model.model.", "model."},
                                                {"language_model.lm_head.", "lm_head."}};
    for (int i = 0; i < linears; ++i)
        names.push_back({fmt::format("multi_modal_projector.linear_{}.", i + 1),
                         linears == 1 ? "model.mm_projector." : fmt::format("model.mm_projector.{}.", 2 * i)});
    const Target target{layers::WeightNames(std::move(names)), rows};
    specs.clear();
    add_specs(parts, target, specs);
    count = specs.size();
    storage::SafetensorsWriter writer(output, std::move(specs));
    write_units(parts, target, writer);
    auto done = finished(writer, count);
    storage::publish_text(output / "config.json", config.dump(2) + "\n");
    done.tensors += tower_done.tensors;
    done.bytes += tower_done.bytes;
    return done;
}

struct Layout {
    std::string_view name;
    ConvertedModel (*write)(VlmParts& parts, const fs::path& output);
};
constexpr std::array layouts{Layout{"same", write_same}, Layout{"llava-hf", write_llava_hf},
                             Layout{"liuhaotian", write_liuhaotian}};

}  // namespace

std::vector<std::string> model_layouts() {
    std::vector<std::string> names;
    for (const auto& layout : layouts) names.emplace_back(layout.name);
    return names;
}

ConvertedModel convert_model(const fs::path& model, std::string_view layout, const fs::path& output) {
    const auto row = std::find_if(layouts.begin(), layouts.end(), [&](const Layout& l) { return l.name == layout; });
    if (row == layouts.end())
        throw UsageError(fmt::format("layout '{}' is not known", layout), "choose from " + join(model_layouts(), ", "));
    if (fs::exists(output) && !(fs::is_directory(output) && fs::is_empty(output)))
        throw UsageError(fmt::format("{} is in the way", output.string()), "give a folder that does not exist yet");
    const auto parts = VlmParts::describe(model);
    check_exportable(*parts);
    fs::create_directories(output);
    return row->write(*parts, output);
}

}  // namespace tg::models
