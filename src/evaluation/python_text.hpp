// The text functions that the reference scorers (Python) build on, with Python's meaning: case and blanks by Unicode,
// length in characters. Scores hang on them in the details.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tg::evaluation::python {

std::string lower(std::string_view text);
std::size_t length(std::string_view text);              // code points
std::string_view strip(std::string_view text);          // Unicode blanks, both ends
std::vector<std::string> split(std::string_view text);  // at runs of Unicode blanks
bool is_blank(char32_t c);
inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }
std::optional<double> to_float(
    std::string_view text);  // float(text): blanks around, underscores between digits, inf, nan
std::optional<long long> to_int(std::string_view text);  // int(text)
bool has_cjk(std::string_view text);                     // any character U+4E00..U+9FFF

}  // namespace tg::evaluation::python
