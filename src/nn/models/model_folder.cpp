#include "taskgalaxy/nn/models/model_folder.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::models {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

bool holds_weights(const fs::path& file) {
    constexpr std::array endings{
        ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".msgpack", ".h5",
        ".tmp"};
    const auto name = file.filename().string();
    return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
}

// Vicuna's file sets temperature and top_p without do_sample, which transformers refuses to save again (LLaVA #1144).
std::string mended_generation_config(const fs::path& file) {
    auto config = read_json(file);
    if (!config.value("do_sample", false) && (config.contains("temperature") || config.contains("top_p")))
        config["do_sample"] = true;
    return config.dump(2) + "\n";
}

}  // namespace

json read_model_config(const fs::path& folder) {
    const auto file = folder / "config.json";
    if (!fs::exists(file))
        throw InputError(fmt::format("{} holds no config.json", folder.string()),
                         "give a local Hugging Face model folder");
    auto config = read_json(file);
    if (!config.is_object()) throw InputError(file.string() + " is not a JSON object");
    return config;
}

void copy_small_files(const fs::path& from, const fs::path& to, const std::set<std::string>& but) {
    for (const auto& entry : fs::directory_iterator(from)) {
        const auto name = entry.path().filename().string();
        if (!entry.is_regular_file() || holds_weights(entry.path()) || but.contains(name)) continue;
        storage::publish_text(to / name, name == "generation_config.json" ? mended_generation_config(entry.path())
                                                                          : read_text_file(entry.path()));
    }
}

void copy_side_files(const VlmParts& parts, const fs::path& folder) {
    copy_small_files(parts.folder, folder);
    // A tower that lies inside the model's folder goes with it.
    if (!parts.vision_files) return;
    const auto inside = parts.vision_files->path().lexically_relative(parts.folder);
    if (!inside.empty() && *inside.begin() != "..")
        fs::copy(parts.vision_files->path(), folder / inside,
                 fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

void check_exportable(const VlmParts& parts) {
    const auto file = parts.folder / "generation_config.json";
    if (!fs::exists(file)) return;
    try {
        mended_generation_config(file);
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{}: {}", file.string(), e.what()));
    }
}

}  // namespace tg::models
