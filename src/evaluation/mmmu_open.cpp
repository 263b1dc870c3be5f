// Open answers as the MMMU authors read them.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "answers.hpp"
#include "python_text.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/pattern.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

std::string_view strip_of(std::string_view text, char c) {
    while (text.starts_with(c)) text.remove_prefix(1);
    while (text.ends_with(c)) text.remove_suffix(1);
    return text;
}

// Grouped by commas, scientific, plain: each pattern over the whole text, as the reference does, so a number may come
// twice.
void add_numbers(const std::string& text, std::vector<std::string>& out) {
    static const std::array patterns{Pattern(R"(-?\b\d{1,3}(?:,\d{3})+\b)"), Pattern(R"(-?\d+(?:\.\d+)?[eE][+-]?\d+)"),
                                     Pattern(R"(-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d]))")};
    try {
        for (const auto& pattern : patterns)
            for (const auto& found : pattern.matches(text))
                out.push_back(text.substr(found.begin, found.end - found.begin));
    } catch (const InputError& error) {
        log::warn("evaluate: an open answer is scored without its numbers: {}", error.what());
    }
}

// The shortest tail behind a word that announces the answer, of each line.
std::vector<std::string> announced_parts(const std::string& response) {
    constexpr std::array announcers{"could be ", "so ",     "is ",     "thus ", "therefore ",
                                    "final ",    "answer ", "result ", "="};
    std::vector<std::string> out;
    const auto lines = split(response, '\n');
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool last = i + 1 == lines.size();  // only the last line may be an equation
        std::string shortest;
        for (std::size_t a = 0; a < announcers.size() - (last ? 0 : 1); ++a) {
            const std::string_view announcer = announcers[a];
            const auto at = lines[i].rfind(announcer);
            if (at == lines[i].npos) continue;
            const auto tail = python::strip(std::string_view(lines[i]).substr(at + announcer.size()));
            if (shortest.empty() || python::length(tail) < python::length(shortest)) shortest = tail;
        }
        const bool only_a_mark =
            shortest.size() == 1 && std::string_view(":,.!?;'").find(shortest[0]) != std::string_view::npos;
        if (!shortest.empty() && !only_a_mark) out.push_back(shortest);
    }
    if (out.empty()) out.push_back(response);
    return out;
}

}  // namespace

std::vector<MmmuItem> mmmu_normalised(std::string_view text) {
    text = python::strip(text);
    auto digits = std::string(text);
    std::erase(digits, ',');
    if (const auto number = python::to_float(digits)) return {*python::to_float(fmt::format("{:.2f}", *number))};
    auto low = python::lower(text);
    if (python::length(low) == 1) return {" " + low, low + " "};  // a single letter would be found in any word
    return {low};
}

std::vector<MmmuItem> mmmu_open_items(std::string_view prediction) {
    const auto parts = announced_parts(python::lower(strip_of(python::strip(prediction), '.')));
    auto texts = parts;
    for (const auto& part : parts) add_numbers(part, texts);
    std::vector<MmmuItem> items;
    for (const auto& text : texts)
        for (auto& item : mmmu_normalised(text))
            if (std::find(items.begin(), items.end(), item) == items.end()) items.push_back(std::move(item));
    return items;
}

bool mmmu_open_match(std::string_view prediction, std::span<const std::string> references) {
    std::vector<MmmuItem> wanted;
    for (const auto& reference : references)
        for (auto& item : mmmu_normalised(reference)) wanted.push_back(std::move(item));
    for (const auto& said : mmmu_open_items(prediction))
        for (const auto& want : wanted) {
            if (said.index() != want.index()) continue;
            if (said == want) return true;
            if (const auto* text = std::get_if<std::string>(&said);
                text && python::contains(*text, std::get<std::string>(want)))
                return true;
        }
    return false;
}

}  // namespace tg::evaluation
