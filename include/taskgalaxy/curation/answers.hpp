// The grammars of the models' answers (prompts: inputs/prompts/README.md) and the readers that forgive what models do
// to them: code fences, talk around the answer, numbering, other spellings of a label, JSON instead of lines. What was
// forgiven or dropped is counted in `Notes`; what cannot be read says so in `problem`, and is then asked again. Pure
// functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tg::curation {

enum class Note : std::uint8_t {
    code_fence,      // the answer stood in ``` marks
    chatter,         // words around the answer, or lines that are no answer
    json_form,       // JSON where lines were asked for (structured output, or the model's own idea)
    relabelled,      // a label recognised though not spelled as given
    unknown_label,   // dropped: a type that was not offered
    repeated_label,  // dropped: a type named twice
    wrong_parent,    // dropped: a path that is not below the parent asked about
    bad_path,        // dropped: an empty level, too deep, too long, no name at all
    known_path,      // dropped: exists already
    broken_json,     // dropped: an object that is no JSON, or was cut off; of a list, what follows the cut
    missing_field,   // dropped: an object without question, answer or type
    empty_field,     // dropped: an empty question or answer
    extra_sample,    // dropped: a second sample for one type
    left_out,        // a type that was asked for and got no sample
    contradiction,   // labels and None in one answer: the labels count
    thoughts,        // what a model thought aloud before its answer, taken off
    count_           // how many there are
};
std::string_view note_name(Note note);
constexpr std::size_t note_count = static_cast<std::size_t>(Note::count_);

struct Notes {
    std::array<std::int64_t, note_count> counts{};
    std::int64_t& operator[](Note note) { return counts[static_cast<std::size_t>(note)]; }
    std::int64_t operator[](Note note) const { return counts[static_cast<std::size_t>(note)]; }
    Notes& operator+=(const Notes& other);
};

// Expansion: one name a line (`parent` empty), or one full path a line below `parent`; "none" alone is a proper answer.
struct ExpandAnswer {
    std::vector<std::string> paths;  // full normalised paths, each once, in the order of the answer
    Notes notes;
    std::string problem;  // empty: fine
};
ExpandAnswer read_expand_answer(std::string_view answer, std::string_view parent);

// Refinement: `[a~b, c~d]` out of the candidates, or `[None]`. One flag a candidate.
struct RefineAnswer {
    std::vector<std::uint8_t> kept;
    Notes notes;
    std::string problem;
};
RefineAnswer read_refine_answer(std::string_view answer, const std::vector<std::string>& candidates);

// Generation: a JSON object a line with task_type, question, answer. One entry a type asked for; nothing where it was
// left out.
struct QuestionAnswer {
    std::string question, answer;
    bool operator==(const QuestionAnswer&) const = default;
};
struct GenerateAnswer {
    std::vector<std::optional<QuestionAnswer>> samples;
    Notes notes;
    std::string problem;
};
GenerateAnswer read_generate_answer(std::string_view answer, const std::vector<std::string>& types);

// Judgement: `1` or `0`, as the whole answer, on its first or last line, or behind a label there; never an item of a
// list.
struct JudgeAnswer {
    int vote = -1;  // 1, 0, or -1 with a problem
    Notes notes;
    std::string problem;
};
JudgeAnswer read_judge_answer(std::string_view answer);

// JSON schemas of the same answers, for endpoints with structured output.
std::string expand_schema();
std::string refine_schema(const std::vector<std::string>& candidates);
std::string generate_schema(const std::vector<std::string>& types);
std::string judge_schema();

}  // namespace tg::curation
