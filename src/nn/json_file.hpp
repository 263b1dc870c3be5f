// The JSON files of a model folder.
#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {

// Throws InputError naming the file and where in it the JSON ends.
inline nlohmann::json read_json(const std::filesystem::path& file) {
    try {
        return nlohmann::json::parse(read_text_file(file));
    } catch (const nlohmann::json::exception& e) {
        throw InputError(file.string() + " is not JSON: " + e.what());
    }
}

// As read_json; an empty object where there is no such file.
inline nlohmann::json read_json_if_any(const std::filesystem::path& file) { return std::filesystem::exists(file) ? read_json(file) : nlohmann::json::object(); }

// A field of config.json, or `otherwise` where it is absent or null. Throws nlohmann's exception for a value of another kind.
template <class T> T field(const nlohmann::json& config, const char* name, T otherwise) {
    const auto found = config.find(name);
    return found == config.end() || found->is_null() ? otherwise : found->get<T>();
}

}  // namespace tg
