#include "export_model.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

bool holds_weights(const fs::path& file) {
    constexpr std::array endings{".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".msgpack", ".h5", ".tmp"};
    const auto name = file.filename().string();
    return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
}

// Vicuna's file sets temperature and top_p without do_sample, which transformers refuses to save again (LLaVA #1144).
std::string mended_generation_config(const std::string& text) {
    auto config = json::parse(text);
    if (!config.value("do_sample", false) && (config.contains("temperature") || config.contains("top_p"))) config["do_sample"] = true;
    return config.dump(2) + "\n";
}

void copy_side_files(const VlmParts& parts, const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(parts.folder)) {
        if (!entry.is_regular_file() || holds_weights(entry.path())) continue;
        const auto name = entry.path().filename();
        const auto text = read_text_file(entry.path());
        publish_text(folder / name, name == "generation_config.json" ? mended_generation_config(text) : text);
    }
    // A tower that lies inside the model's folder goes with it.
    if (!parts.vision_files) return;
    const auto inside = parts.vision_files->path().lexically_relative(parts.folder);
    if (!inside.empty() && *inside.begin() != "..") fs::copy(parts.vision_files->path(), folder / inside, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

}  // namespace

void check_exportable(const VlmParts& parts) {
    const auto file = parts.folder / "generation_config.json";
    if (!fs::exists(file)) return;
    try {
        mended_generation_config(read_text_file(file));
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{} is not JSON: {}", file.string(), e.what()));
    }
}

void export_model(const VlmParts& parts, Trainer& trainer, const Communicator& ranks, const fs::path& folder) {
    std::unique_ptr<SafetensorsWriter> writer;
    std::set<std::string> written;
    together(ranks, [&] {
        if (!ranks.is_root()) return;
        fs::create_directories(folder);
        copy_side_files(parts, folder);
        std::vector<TensorSpec> specs;
        for (const auto& [name, info] : parts.files.tensors()) specs.push_back({name, info});
        writer = std::make_unique<SafetensorsWriter>(folder, std::move(specs));
    });
    auto& model = const_cast<VlmParts&>(parts);  // units() hands out mutable units; only their values are read here
    const auto units = model.units();
    for (std::size_t u = 0; u < units.size(); ++u) {
        auto& sharded = *trainer.units()[u];
        if (!sharded.trained()) continue;
        sharded.gather();
        together(ranks, [&] {
            if (!ranks.is_root()) return;
            for (const auto& parameter : units[u]->parameters)
                for (std::size_t i = 0; i < parameter.pieces.size(); ++i) {
                    const auto name = parts.names.file_name(parameter.pieces[i].name);
                    const auto tensor = parameter.rows_of(parameter.value, i).to(torch::kCPU, torch_type(parts.files.info(name).type)).contiguous();
                    writer->write(name, {static_cast<const std::byte*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.numel()) * tensor.element_size()});
                    written.insert(name);
                }
        });
        sharded.release();
    }
    together(ranks, [&] {
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

}  // namespace tg
