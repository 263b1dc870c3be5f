// JSON that others wrote: files of models and data sets, answers of servers. nlohmann::json writes a value out by
// recursion, so a text that nests a hundred thousand deep would end the program as soon as an error quotes it; such a
// text is refused here.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"

namespace tg {

constexpr int deepest_json = 64;  // levels of lists and objects; no file that the program reads has more than ten

// Throws InputError: "{where} is not JSON: ...".
nlohmann::json parse_json(std::string_view text, const std::string& where);
// As parse_json, where bad JSON is no error of the caller: the result is_discarded() then.
nlohmann::json parse_json_if_good(std::string_view text);

// Throws InputError naming the file and where in it the JSON ends.
nlohmann::json read_json(const std::filesystem::path& file);
// As read_json; an empty object where there is no such file.
nlohmann::json read_json_if_any(const std::filesystem::path& file);

// A field of config.json, or `otherwise` where it is absent or null. Throws nlohmann's exception for a value of another
// kind.
template <class T> T field(const nlohmann::json& config, const char* name, T otherwise) {
    const auto found = config.find(name);
    return found == config.end() || found->is_null() ? otherwise : found->get<T>();
}

}  // namespace tg
