#include "added_tokens.hpp"

#include <array>
#include <functional>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::models {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

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

}  // namespace

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

}  // namespace tg::models
