#include "read_answer.hpp"

#include <algorithm>

#include "answers.hpp"
#include "python_text.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"

namespace tg::evaluation {
namespace {

Mark of_option(std::optional<char> said, std::string_view truth) {
    if (!said) return {.said = "", .credit = 0, .understood = false};
    return {.said = std::string(1, *said), .credit = truth.size() == 1 && truth[0] == *said ? 1.0 : 0.0};
}

Mark of_yes_no(std::optional<bool> said, std::string_view truth) {
    if (!said) return {.said = "Unknown", .credit = 0, .understood = false};
    const std::string text = *said ? "Yes" : "No";
    return {.said = text, .credit = lower_ascii(trimmed(truth)) == lower_ascii(text) ? 1.0 : 0.0};
}

std::vector<std::string> references(const Question& question) {
    const auto& answer = question.text("answer");
    if (auto list = parse_list_literal(answer)) return std::move(*list);
    return {answer};
}

// MathVista lists its choices in one cell: A is the first.
std::vector<Option> math_options(const Question& question) {
    std::vector<Option> options;
    char letter = 'A';
    for (const auto& text : parse_list_literal(question.text("choices")).value_or(std::vector<std::string>{}))
        options.push_back({letter++, text});
    return options;
}

}  // namespace

Mark read_choice(const Question& question, std::string_view prediction, Convention) {
    return of_option(option_named(prediction, question.options()), question.text("answer"));
}

Mark read_seedbench(const Question& question, std::string_view prediction, Convention convention) {
    if (convention == Convention::vlmevalkit) return read_choice(question, prediction, convention);
    return of_option(option_exact(prediction, question.options()), question.text("answer"));
}

Mark read_science_qa(const Question& question, std::string_view prediction, Convention convention) {
    if (convention == Convention::vlmevalkit) return read_choice(question, prediction, convention);
    return of_option(option_science_qa(prediction, question.options()), question.text("answer"));
}

Mark read_mmmu(const Question& question, std::string_view prediction, Convention convention) {
    auto options = question.options();
    const bool open = options.empty() || options.front().letter != 'A';
    if (convention == Convention::vlmevalkit) {
        if (!open) return of_option(option_named(prediction, options), question.text("answer"));
        options = {{'A', question.text("answer")}, {'B', "Other Answers"}};
        return of_option(option_named(prediction, options), "A");
    }
    if (!open) return of_option(option_mmmu(prediction, options), question.text("answer"));
    const auto wanted = references(question);
    return {.said = std::string(python::strip(prediction)), .credit = mmmu_open_match(prediction, wanted) ? 1.0 : 0.0};
}

Mark read_yes_no(const Question& question, std::string_view prediction, Convention) {
    return of_yes_no(yes_no_word(prediction), question.text("answer"));
}

Mark read_mme(const Question& question, std::string_view prediction, Convention convention) {
    return of_yes_no(convention == Convention::official ? yes_no_mme(prediction) : yes_no_word(prediction),
                     question.text("answer"));
}

Mark read_pope(const Question& question, std::string_view prediction, Convention convention) {
    return of_yes_no(
        convention == Convention::official ? std::optional(yes_no_pope(prediction)) : yes_no_word(prediction),
        question.text("answer"));
}

Mark read_textvqa(const Question& question, std::string_view prediction, Convention convention) {
    const auto norm = convention == Convention::official ? VqaNorm::llava : VqaNorm::vlmevalkit;
    return {.said = vqa_normalised(prediction, norm), .credit = vqa_score(prediction, references(question), norm)};
}

Mark read_chartqa(const Question& question, std::string_view prediction, Convention) {
    const auto wanted = references(question);
    const bool right = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const auto& reference) { return relaxed_match(prediction, reference); });
    return {.said = std::string(python::strip(prediction)), .credit = right ? 1.0 : 0.0};
}

Mark compare_mathvista(const Question& question, std::string_view extracted, Convention convention) {
    if (question.text("question_type") == "multi_choice")
        return of_option(option_named(extracted, math_options(question)), question.text("answer_option"));
    const auto precision = python::to_float(question.text("precision"));
    const bool right = math_match(extracted, question.text("answer"), question.text("answer_type"),
                                  precision ? static_cast<int>(*precision) : -1, convention == Convention::official);
    return {.said = std::string(python::strip(extracted)), .credit = right ? 1.0 : 0.0};
}

Mark read_mathvista(const Question& question, std::string_view prediction, Convention convention) {
    auto mark = compare_mathvista(question, prediction, convention);
    // An answer in words is no wrong number: a judge may still find the number in it.
    if (question.text("question_type") != "multi_choice" && mark.credit == 0)
        mark = {.said = "", .credit = 0, .understood = false};
    return mark;
}

Mark read_short(const Question& question, std::string_view prediction, Convention convention) {
    const auto norm = convention == Convention::official ? VqaNorm::llava : VqaNorm::vlmevalkit;
    const auto said = vqa_normalised(prediction, norm);
    const auto wanted = references(question);
    const bool right = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const auto& reference) { return vqa_normalised(reference, norm) == said; });
    return {.said = said, .credit = right ? 1.0 : 0.0};
}

Mark read_nothing(const Question&, std::string_view, Convention) {
    return {.said = "", .credit = 0, .understood = false};
}

}  // namespace tg::evaluation
