// reference.json: what the public tools said (made by tests/fixtures/evaluation/make_reference.py).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "questions.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::test {

inline const nlohmann::json& reference() {
    static const auto all = nlohmann::json::parse(
        read_text_file(std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/evaluation/reference.json"));
    return all;
}

inline std::vector<evaluation::Option> options_of(const nlohmann::json& options) {
    std::vector<evaluation::Option> out;
    for (const auto& [letter, text] : options.items()) out.push_back({letter[0], text.get<std::string>()});
    return out;
}

// A row of a reference table as a question; what is no text is written as JSON writes it.
inline evaluation::Question question_of(const nlohmann::json& row) {
    evaluation::Question question;
    for (const auto& [column, value] : row.items()) {
        if (value.is_null()) continue;
        const auto text = value.is_string() ? value.get<std::string>() : value.dump();
        if (column == "index") question.index = text;
        else question.cells.emplace(column, text);
    }
    return question;
}

}  // namespace tg::test
