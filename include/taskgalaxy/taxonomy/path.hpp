// A task type is a path of one to three names, broad to narrow, joined by "~": "animal recognition~birds~naming the
// bird". This file turns what people and models write into that form, or says why it is none. Pure functions, any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tg::taxonomy {

constexpr char level_separator = '~';
constexpr int deepest_level = 3;
constexpr std::size_t longest_level = 96;  // bytes of one name; three of them fill CLIP's 77 tokens

enum class PathProblem {
    none,
    empty,        // nothing but marks and blanks
    empty_level,  // "a~~b", "~a"
    too_deep,     // more than three levels
    too_long,     // a level of more than `longest_level` bytes
    control,      // control characters inside
};
std::string_view problem_text(PathProblem problem);

struct PathReading {
    std::string path;  // normalised; empty when there is a problem
    PathProblem problem = PathProblem::none;
    explicit operator bool() const { return problem == PathProblem::none; }
};

// Normalises one line: list marks, numbering, quotes, bold and trailing punctuation go; U+223C and U+FF5E count as "~";
// blanks are trimmed and collapsed; ASCII letters become lower case (other scripts are kept as written).
PathReading read_path(std::string_view line);

// Of normalised paths.
int level_of(std::string_view path);                               // 1..3
std::string_view parent_of(std::string_view path);                 // empty at level 1
std::string_view last_name(std::string_view path);                 // what stands behind the last "~"
std::string_view first_name(std::string_view path);                // the level-1 type
bool is_within(std::string_view path, std::string_view ancestor);  // the ancestor itself or below it

// Plain text, one path a line; blank lines and lines that begin with "#" are skipped. Throws InputError naming file and
// line of what cannot be read. Repeated paths are kept once, in the order of the file.
std::vector<std::string> read_path_file(const std::string& file);

}  // namespace tg::taxonomy
