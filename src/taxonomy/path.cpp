#include "taskgalaxy/taxonomy/path.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <unordered_set>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::taxonomy {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Marks that models put around a name; all are whole UTF-8 sequences.
constexpr std::array<std::string_view, 14> wrapping{"\"",     "'",      "`",      "*",      "_",      "[",      "]",
                                                    "\u201C", "\u201D", "\u2018", "\u2019", "\u00AB", "\u00BB", "#"};
constexpr std::array<std::string_view, 7> bullets{"-", "+", "\u2022", "\u2013", "\u2014", "\u25E6", "\u00B7"};
constexpr std::array<std::string_view, 4> endings{".", ",", ";", ":"};

template <class Marks> bool strip_front(std::string_view& text, const Marks& marks) {
    return std::any_of(marks.begin(), marks.end(), [&](std::string_view mark) {
        if (!text.starts_with(mark)) return false;
        text.remove_prefix(mark.size());
        return true;
    });
}
template <class Marks> bool strip_back(std::string_view& text, const Marks& marks) {
    return std::any_of(marks.begin(), marks.end(), [&](std::string_view mark) {
        if (!text.ends_with(mark)) return false;
        text.remove_suffix(mark.size());
        return true;
    });
}

// "12. ", "3) ", "(4) ": a number counts as numbering only with its mark and a blank behind it, so that "3d shapes"
// stays.
bool strip_numbering(std::string_view& text) {
    std::size_t at = 0;
    const bool bracket = !text.empty() && text[0] == '(';
    if (bracket) at = 1;
    const auto digits = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    if (at == digits || at - digits > 6 || at >= text.size()) return false;
    if (bracket ? text[at] != ')' : text[at] != '.' && text[at] != ')' && text[at] != ':') return false;
    ++at;
    if (at < text.size() && !is_blank(text[at])) return false;
    text.remove_prefix(at);
    return true;
}

// Everything around a line or a name that is not part of it.
std::string_view unwrapped(std::string_view text) {
    for (;;) {
        text = trimmed(text);
        const auto before = text.size();
        strip_numbering(text);
        strip_front(text, bullets) || strip_front(text, wrapping);
        strip_back(text, endings) || strip_back(text, wrapping);
        if (text.size() == before) return text;
    }
}

std::string collapsed(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool blank = is_blank(c);
        if (blank && (out.empty() || out.back() == ' ')) continue;
        out.push_back(blank ? ' ' : c);
    }
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

}  // namespace

std::string_view problem_text(PathProblem problem) {
    switch (problem) {
        case PathProblem::none: return "fine";
        case PathProblem::empty: return "empty";
        case PathProblem::empty_level: return "an empty level";
        case PathProblem::too_deep: return "more than three levels";
        case PathProblem::too_long: return "a level longer than 96 bytes";
        case PathProblem::control: return "control characters";
    }
    return "unknown";
}

PathReading read_path(std::string_view line) {
    auto text = std::string(unwrapped(line));
    for (const std::string_view tilde : {"\u223C", "\uFF5E"}) text = replace_all(std::move(text), tilde, "~");
    if (text.empty()) return {{}, PathProblem::empty};
    if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; }))
        return {{}, PathProblem::control};

    const auto names = split(text, level_separator);
    if (names.size() > deepest_level) return {{}, PathProblem::too_deep};
    std::string path;
    for (const auto& raw : names) {
        const auto name = lower_ascii(collapsed(unwrapped(raw)));
        if (name.empty()) return {{}, names.size() == 1 ? PathProblem::empty : PathProblem::empty_level};
        if (name.size() > longest_level) return {{}, PathProblem::too_long};
        if (!path.empty()) path += level_separator;
        path += name;
    }
    return {std::move(path), PathProblem::none};
}

int level_of(std::string_view path) {
    return 1 + static_cast<int>(std::count(path.begin(), path.end(), level_separator));
}

std::string_view parent_of(std::string_view path) {
    const auto at = path.rfind(level_separator);
    return at == path.npos ? std::string_view{} : path.substr(0, at);
}

std::string_view last_name(std::string_view path) {
    const auto at = path.rfind(level_separator);
    return at == path.npos ? path : path.substr(at + 1);
}

std::string_view first_name(std::string_view path) { return path.substr(0, path.find(level_separator)); }

bool is_within(std::string_view path, std::string_view ancestor) {
    return path.starts_with(ancestor) && (path.size() == ancestor.size() || path[ancestor.size()] == level_separator);
}

std::vector<std::string> read_path_file(const std::string& file) {
    std::vector<std::string> paths;
    std::unordered_set<std::string> seen;
    const auto content = read_text_file(file);
    std::size_t number = 0;
    for (const auto& line : split(content, '\n')) {
        ++number;
        const auto text = trimmed(line);
        if (text.empty() || text.starts_with('#')) continue;
        auto reading = read_path(text);
        if (!reading)
            throw InputError(fmt::format("{}:{}: '{}' is no task path ({})", file, number, excerpt(text, 80),
                                         problem_text(reading.problem)),
                             "write one path a line, one to three names joined by ~");
        if (seen.insert(reading.path).second) paths.push_back(std::move(reading.path));
    }
    return paths;
}

}  // namespace tg::taxonomy
