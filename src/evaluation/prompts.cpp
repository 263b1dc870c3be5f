#include "prompts.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "python_text.hpp"

namespace tg::evaluation {
namespace {

constexpr std::string_view image_mark = "<image>";
constexpr std::string_view short_suffix = "Answer the question using a single word or phrase.";

std::string with_options(const Question& question) {
    std::string text;
    if (const auto* hint = question.find("hint")) text = *hint + "\n";
    text += question.text("question");
    const auto options = question.options();
    for (const auto& option : options) text += fmt::format("\n{}. {}", option.letter, option.text);
    const bool chinese = python::has_cjk(text);
    if (!options.empty())
        text +=
            chinese ? "\n请直接回答选项字母。" : "\nAnswer with the option's letter from the given choices directly.";
    else text += chinese ? "\n请直接回答问题。" : "\nAnswer the question directly.";
    return text;
}

// An open question of MMMU is asked for a word or phrase, as its authors' configuration has it.
std::string mmmu_text(const Question& question) {
    if (!question.options().empty()) return with_options(question);
    return fmt::format("{}\n{}", question.text("question"), short_suffix);
}

std::string words(const Question& question, PromptStyle style, PromptFamily family) {
    const bool internvl = family == PromptFamily::internvl;
    const auto& text = question.text("question");
    switch (style) {
        case PromptStyle::choice: return with_options(question);
        case PromptStyle::mmmu: return mmmu_text(question);
        case PromptStyle::short_answer: return fmt::format("{}\n{}", text, short_suffix);
        case PromptStyle::mme: return fmt::format("{}{}{}", text, internvl ? " " : "\n", short_suffix);
        case PromptStyle::pope: return internvl ? text : fmt::format("{}\n{}", text, short_suffix);
        case PromptStyle::hallusion:
            return internvl ? fmt::format("{} Please answer yes or no. {}", text, short_suffix) : text;
        case PromptStyle::bare: return text;
        case PromptStyle::in_detail: return internvl ? text + "\nAnswer this question in detail." : text;
    }
    return text;
}

}  // namespace

WordedQuestion word_question(const Question& question, PromptStyle style, PromptFamily family, std::size_t pictures,
                             std::size_t most_pictures) {
    auto text = question.prompt_is_ready ? question.text("question") : words(question, style, family);
    WordedQuestion out{std::move(text), {}};
    if (style == PromptStyle::mmmu)
        for (auto at = out.text.find("<image "); at != out.text.npos && out.pictures.size() < most_pictures;
             at = out.text.find("<image ", at + 1)) {
            const auto digit = at + 7;
            if (digit + 1 >= out.text.size() || out.text[digit + 1] != '>' || out.text[digit] < '1' ||
                out.text[digit] > '9')
                continue;
            const auto picture = static_cast<std::size_t>(out.text[digit] - '1');
            if (picture >= pictures) continue;
            out.text.replace(at, 9, image_mark);
            out.pictures.push_back(picture);
        }
    if (!out.pictures.empty()) return out;
    std::string front;
    for (std::size_t picture = 0; picture < std::min(pictures, most_pictures); ++picture) {
        (front += image_mark) += '\n';
        out.pictures.push_back(picture);
    }
    out.text = front + out.text;
    return out;
}

}  // namespace tg::evaluation
