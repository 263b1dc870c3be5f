// The judges' grammar. A vote is the whole answer, its first line, its last line, or stands behind a label on one of
// these; an item of a numbered list is none, because judges number the conditions that they were given. What is said
// twice and differently is no vote. Nothing here asks which of the two digits it sees: 0 and 1 are read alike.
#include <algorithm>
#include <array>
#include <optional>

#include "answer_text.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/curation/answers.hpp"

namespace tg::curation {
namespace {

using nlohmann::json;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_vote(char c) { return c == '0' || c == '1'; }
constexpr std::string_view marks = " \t\r*_`\"'[](){}<>#|";  // emphasis, quotes, brackets, headings

std::string_view without_marks(std::string_view text) {
    const auto first = text.find_first_not_of(marks);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(marks) - first + 1);
}

// "2. ...", "3) ...", "(1) ...", "1: ..." amid others of that kind.
bool begins_with_number(std::string_view line) {
    line = without_marks(line);
    const auto end = std::find_if_not(line.begin(), line.end(), is_digit);
    return end != line.begin() && end != line.end() && std::string_view(".):-").find(*end) != std::string_view::npos;
}

// "1", "**0**", "[1]", "1."
std::optional<int> bare_vote(std::string_view line) {
    line = without_marks(line);
    while (line.size() > 1 && std::string_view(".!").find(line.back()) != std::string_view::npos)
        line = without_marks(line.substr(0, line.size() - 1));
    if (line.size() != 1 || !is_vote(line.front())) return std::nullopt;
    return line.front() - '0';
}

// "Answer: 1", "**Final verdict** = 0", "Therefore, my vote is 1". Every word counts: "the correct answer is 1" speaks
// of the sample's answer.
std::optional<int> labelled_vote(std::string_view line) {
    constexpr std::array<std::string_view, 11> labels{"answer", "vote",   "score",  "verdict",   "valid",   "validity",
                                                      "rating", "output", "result", "judgement", "judgment"};
    constexpr std::array<std::string_view, 14> fillers{"my",   "the",    "final",     "overall", "is", "of",    "for",
                                                       "this", "sample", "therefore", "thus",    "so", "hence", "a"};
    auto words = lower_ascii(line);
    std::ranges::replace_if(
        words, [](char c) { return marks.find(c) != marks.npos || c == ':' || c == '=' || c == ','; }, ' ');
    while (!words.empty() && (words.back() == ' ' || words.back() == '.' || words.back() == '!')) words.pop_back();
    std::optional<int> vote;
    bool labelled = false;
    for (const auto& word : split(words, ' ')) {
        if (word.empty()) continue;
        if (vote) return std::nullopt;  // something behind the digit
        if (labelled && (word == "0" || word == "1")) vote = word[0] - '0';
        else if (std::ranges::find(labels, word) != labels.end()) labelled = true;
        else if (std::ranges::find(fillers, word) == fillers.end()) return std::nullopt;
    }
    return vote;
}

// "0, because the count is wrong."; not "0 errors were found" and not an item of a list.
std::optional<int> vote_with_reason(std::string_view line) {
    line = trimmed(line);
    if (line.size() < 3 || !is_vote(line[0]) || std::string_view(",;:").find(line[1]) == std::string_view::npos ||
        line[2] != ' ')
        return std::nullopt;
    return line[0] - '0';
}

std::optional<int> vote_on(std::string_view line, bool amid_a_list) {
    if (const auto vote = labelled_vote(line)) return vote;
    if (amid_a_list && begins_with_number(line)) return std::nullopt;
    if (const auto vote = bare_vote(line)) return vote;
    return amid_a_list ? std::nullopt : vote_with_reason(line);
}

// Of an object: its one field that is a bit or a boolean; several that agree are one.
std::optional<int> vote_in(const json& object, bool& contradicts) {
    std::optional<int> vote;
    for (const auto& inner : object) {
        const bool bit = inner.is_number_integer() && (inner == 0 || inner == 1);
        if (!bit && !inner.is_boolean()) continue;
        const int found = inner.is_boolean() ? inner.get<bool>() : inner.get<int>();
        contradicts |= vote && *vote != found;
        vote = found;
    }
    return vote;
}

}  // namespace

JudgeAnswer read_judge_answer(std::string_view answer) {
    JudgeAnswer out;
    const auto text = bare_answer(answer, out.notes);
    if (text == "1" || text == "0") {
        out.vote = text[0] - '0';
        return out;
    }
    std::optional<int> vote;
    bool contradicts = false;
    if (const auto value = whole_json(text); value && value->is_object()) {
        vote = vote_in(*value, contradicts);
        if (vote) ++out.notes[Note::json_form];
    } else {
        std::vector<std::string> lines;
        for (const auto& line : split(text, '\n'))
            if (!trimmed(line).empty()) lines.push_back(line);
        if (!lines.empty()) {
            const bool amid_a_list = lines.size() > 1 && std::ranges::any_of(lines, begins_with_number);
            const auto first = vote_on(lines.front(), amid_a_list), last = vote_on(lines.back(), amid_a_list);
            contradicts = first && last && *first != *last;
            vote = last ? last : first;
            if (vote) ++out.notes[Note::chatter];
        }
    }
    if (vote && !contradicts) out.vote = *vote;
    else out.problem = contradicts ? "the answer holds both 1 and 0" : "the answer is neither 1 nor 0";
    return out;
}

}  // namespace tg::curation
