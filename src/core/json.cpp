#include "taskgalaxy/core/json.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/text.hpp"

namespace tg {

using nlohmann::json;

namespace {

// Brackets outside strings. Of a text that is no JSON any answer will do: the parser, which does not recurse, refuses
// it.
bool nests_too_deep(std::string_view text) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        switch (text[i]) {
            case '"':
                for (++i; i < text.size() && text[i] != '"'; ++i)
                    if (text[i] == '\\') ++i;
                break;
            case '[':
            case '{':
                if (++depth > deepest_json) return true;
                break;
            case ']':
            case '}': --depth; break;
            default: break;
        }
    }
    return false;
}

}  // namespace

json parse_json(std::string_view text, const std::string& where) {
    if (nests_too_deep(text))
        throw InputError(
            fmt::format("{} is not JSON that can be used: it nests more than {} levels deep", where, deepest_json));
    try {
        return json::parse(text);
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{} is not JSON: {}", where, excerpt(e.what(), 200)));
    }
}

json parse_json_if_good(std::string_view text) {
    return nests_too_deep(text) ? json(json::value_t::discarded) : json::parse(text, nullptr, false);
}

json read_json(const std::filesystem::path& file) { return parse_json(read_text_file(file), file.string()); }
json read_json_if_any(const std::filesystem::path& file) {
    return std::filesystem::exists(file) ? read_json(file) : json::object();
}

}  // namespace tg
