#include "export_model.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

std::string before(const std::string& text, const char* mark) { return text.substr(0, text.find(mark)); }

// A pattern of the adapted modules of all layers, made of those of the first: peft takes it as a regular expression
// over whole paths, so that a tower whose layers have the same names is left alone.
std::string target_pattern(const models::VlmParts& parts, const layers::Unit& first_layer) {
    std::set<std::string> modules;
    for (const auto& parameter : first_layer.parameters)
        modules.insert(before(parts.class_name(parameter.pieces[0].name), ".lora_"));
    std::string pattern;
    for (auto module : modules) {
        for (std::size_t at = 0; (at = module.find('.', at)) != module.npos; at += 2) module.insert(at, 1, '\\');
        module.replace(module.find("layers\\.0\\."), 11, "layers\\.\\d+\\.");
        pattern += (pattern.empty() ? "" : "|") + module;
    }
    return pattern;
}

}  // namespace

void export_model(const models::VlmParts& parts, Trainer& trainer, const parallel::Communicator& ranks,
                  const fs::path& folder) {
    std::unique_ptr<storage::SafetensorsWriter> writer;
    std::set<std::string> written;
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        fs::create_directories(folder);
        models::copy_side_files(parts, folder);
        std::vector<storage::TensorSpec> specs;
        for (const auto& [name, info] : parts.files.tensors()) specs.push_back({name, info});
        writer = std::make_unique<storage::SafetensorsWriter>(folder, std::move(specs));
    });
    auto& model =
        const_cast<models::VlmParts&>(parts);  // units() hands out mutable units; only their values are read here
    const auto units = model.units();
    for (std::size_t u = 0; u < units.size(); ++u) {
        auto& sharded = *trainer.units()[u];
        const auto layer = std::find_if(model.language.layers.begin(), model.language.layers.end(),
                                        [&](models::DecoderLayer& l) { return &l.unit() == units[u] && l.adapters(); });
        const bool adapted = layer != model.language.layers.end();
        if (!sharded.trained() && !adapted) continue;
        sharded.gather();
        parallel::together(ranks, [&] {
            if (!ranks.is_root()) return;
            for (const auto& parameter : units[u]->parameters) {
                auto made = parameter;
                if (adapted) made.value = layer->merged(parameter);
                if (!made.value.defined()) continue;  // frozen, and nothing beside it: the base's bytes
                layers::write_parameter(made, [&](const layers::FilePiece& piece, const torch::Tensor& tensor) {
                    const auto name = parts.names.file_name(piece.name);
                    layers::write_tensor(*writer, name, tensor, parts.files.info(name).type);
                    written.insert(name);
                });
            }
        });
        sharded.release();
    }
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        std::vector<std::byte> bytes;
        for (const auto& [name, info] : parts.files.tensors()) {
            if (written.contains(name)) continue;
            bytes.resize(info.bytes());
            parts.files.read(name, bytes);
            writer->write(name, bytes);
        }
        writer->flush();
        writer->publish();
    });
}

void export_adapters(const models::VlmParts& parts, Trainer& trainer, const layers::LoraOptions& options,
                     const parallel::Communicator& ranks, const fs::path& folder) {
    const auto peft_name = [&](const std::string& ours) { return "base_model.model." + parts.class_name(ours); };
    auto& model = const_cast<models::VlmParts&>(parts);  // its units are read only
    std::vector<layers::Unit*> units;
    for (auto& layer : model.language.layers) units.push_back(layer.adapters());
    auto& projector = *trainer.units().front();  // in the order of units(): the projector, where there is one
    const bool with_projector = parts.projector && projector.trained();
    if (with_projector) {
        units.push_back(&model.projector->unit());
        projector.gather();
    }
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        fs::create_directories(folder);
        std::vector<storage::TensorSpec> specs;
        for (const auto* unit : units)
            for (const auto& parameter : unit->parameters)
                for (const auto& piece : parameter.pieces) {
                    auto shape = parameter.shape;
                    shape.front() = piece.rows;
                    specs.push_back(
                        {peft_name(piece.name), {layers::tensor_type(parameter.value.scalar_type()), shape}});
                }
        storage::SafetensorsWriter writer(folder, std::move(specs),
                                          {.shard_bytes = ~std::uint64_t{0}, .stem = "adapter_model"});
        for (const auto* unit : units)
            for (const auto& parameter : unit->parameters)
                layers::write_parameter(parameter, [&](const layers::FilePiece& piece, const torch::Tensor& tensor) {
                    layers::write_tensor(writer, peft_name(piece.name), tensor,
                                         layers::tensor_type(tensor.scalar_type()));
                });
        nlohmann::ordered_json config{{"peft_type", "LORA"},
                                      {"task_type", nullptr},
                                      {"base_model_name_or_path", parts.folder.string()},
                                      {"r", options.rank},
                                      {"lora_alpha", options.alpha},
                                      {"lora_dropout", 0.0},
                                      {"bias", "none"},
                                      {"fan_in_fan_out", false},
                                      {"inference_mode", true},
                                      {"init_lora_weights", true},
                                      {"use_rslora", false},
                                      {"use_dora", false},
                                      {"target_modules", target_pattern(parts, *units[0])}};
        config["modules_to_save"] = nullptr;
        if (with_projector) {
            const auto path = parts.class_name(units.back()->parameters[0].pieces[0].name);
            for (const auto* name : {"multi_modal_projector", "mm_projector", "mlp1"})
                if (path.find(name) != path.npos) config["modules_to_save"] = nlohmann::json::array({name});
        }
        writer.publish();
        storage::publish_text(folder / "adapter_config.json", config.dump(2) + "\n");
    });
    if (with_projector) projector.release();
}

}  // namespace tg::training
