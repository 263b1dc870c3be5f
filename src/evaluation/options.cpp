// Which option an answer names.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "answers.hpp"
#include "python_text.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

bool is_option(std::span<const Option> options, char letter) {
    return std::any_of(options.begin(), options.end(), [&](const Option& o) { return o.letter == letter; });
}

// "answer is" with any blanks, then asterisks, then a letter A-D, all without regard to case. The first place that
// matches counts.
std::optional<char> after_answer_is(std::string_view text) {
    const auto low = lower_ascii(text);
    const auto blanks = [&](std::size_t& at) {
        const auto begin = at;
        while (at < low.size() && python::is_blank(static_cast<unsigned char>(low[at]))) ++at;
        return at > begin;
    };
    for (auto found = low.find("answer"); found != low.npos; found = low.find("answer", found + 1)) {
        auto at = found + 6;
        if (!blanks(at) || low.compare(at, 2, "is") != 0) continue;
        at += 2;
        if (!blanks(at)) continue;
        while (at < low.size() && low[at] == '*') ++at;
        if (at < low.size() && low[at] >= 'a' && low[at] <= 'd') return static_cast<char>(low[at] - 'a' + 'A');
    }
    return std::nullopt;
}

std::optional<char> by_content(std::string_view prediction, std::span<const Option> options) {
    const auto answer = python::lower(prediction);
    std::size_t longest = 0;
    for (const auto& option : options) longest += python::length(option.text);
    if (python::length(answer) > 2 * longest) return std::nullopt;
    std::optional<char> found;
    for (const auto& option : options) {
        if (!python::contains(answer, python::lower(option.text))) continue;
        if (found) return std::nullopt;
        found = option.letter;
    }
    return found;
}

}  // namespace

std::optional<char> option_named(std::string_view prediction, std::span<const Option> options) {
    constexpr std::array refusals{"Sorry, I can't help with images of people yet.", "I can't process this file.",
                                  "I'm sorry, but without the image provided", "Cannot determine the answer"};
    constexpr std::string_view punctuation = ".()[],:;!*#{}";
    constexpr std::size_t tail = 4;  // words at the end in which a letter counts as the answer

    if (std::any_of(refusals.begin(), refusals.end(),
                    [&](const char* refusal) { return python::contains(prediction, refusal); }))
        return 'Z';
    std::string clean(prediction);
    for (char& c : clean)
        if (punctuation.find(c) != punctuation.npos) c = ' ';
    const auto words = python::split(clean);
    const auto place = [&](char letter) {
        return static_cast<std::size_t>(std::find(words.begin(), words.end(), std::string(1, letter)) - words.begin());
    };

    std::size_t named = 0;
    char letter = 0;
    for (const auto& option : options)
        if (place(option.letter) < words.size()) {
            ++named;
            letter = option.letter;
        }
    if (named == 1 && place(letter) + tail >= words.size()) return letter;
    if (named == 0 && place('Z') < words.size()) return 'Z';
    if (const auto told = after_answer_is(prediction); told && is_option(options, *told)) return told;
    return by_content(prediction, options);
}

std::optional<char> option_exact(std::string_view prediction, std::span<const Option> options) {
    if (prediction.size() == 1 && is_option(options, prediction[0])) return prediction[0];
    return std::nullopt;
}

std::optional<char> option_science_qa(std::string_view prediction, std::span<const Option> options) {
    constexpr std::string_view letters = "ABCDE";
    constexpr std::string_view phrase = "The answer is ";
    const auto known = [&](char c) { return letters.find(c) != letters.npos; };
    std::optional<char> told;
    if (prediction.size() == 1 && known(prediction[0])) told = prediction[0];
    else if (prediction.size() >= 3 && known(prediction[0]) && prediction.substr(1, 2) == ". ") told = prediction[0];
    else {
        std::size_t matches = 0;
        for (auto at = prediction.find(phrase); at != prediction.npos;) {
            const auto letter = at + phrase.size();
            const bool matched = letter + 1 < prediction.size() && prediction[letter] >= 'A' &&
                                 prediction[letter] <= 'Z' && prediction[letter + 1] != '\n';
            if (matched) {
                ++matches;
                told = prediction[letter];
            }
            at = prediction.find(phrase, matched ? letter + 2 : at + 1);
        }
        if (matches != 1) return std::nullopt;
    }
    return is_option(options, *told) ? told : std::nullopt;
}

std::optional<char> option_mmmu(std::string_view prediction, std::span<const Option> options) {
    for (const char c :
         std::string_view(",.!?;:'")) {  // one after the other, as the reference does: ".,A" keeps its period
        while (prediction.starts_with(c)) prediction.remove_prefix(1);
        while (prediction.ends_with(c)) prediction.remove_suffix(1);
    }
    const auto padded = fmt::format(" {} ", prediction);
    const auto low = python::lower(padded);

    // The candidate whose last mention is latest; the first of them where two mentions begin at one place.
    const auto latest = [&](std::string_view text, auto mark) {
        std::optional<char> best;
        std::size_t best_at = 0;
        for (const auto& option : options) {
            const auto at = text.rfind(mark(option));
            if (at == text.npos || (best && at <= best_at)) continue;
            best = option.letter;
            best_at = at;
        }
        return best;
    };
    if (const auto found = latest(padded, [](const Option& o) { return std::string("(") + o.letter + ")"; }))
        return found;
    if (const auto found = latest(padded, [](const Option& o) { return std::string(" ") + o.letter + " "; }))
        return found;
    constexpr std::size_t wordy = 5;  // only longer answers are searched for the options' texts
    if (python::split(padded).size() <= wordy) return std::nullopt;
    return latest(low, [](const Option& o) { return python::lower(o.text); });
}

}  // namespace tg::evaluation
