// Whether an answer says yes or no.
#include <algorithm>

#include "answers.hpp"
#include "python_text.hpp"
#include "taskgalaxy/core/text.hpp"
#include "vqa_text.hpp"

namespace tg::evaluation {

std::optional<bool> yes_no_word(std::string_view prediction) {
    const auto words = python::split(without_punctuation(python::lower(prediction), PeriodRule::between_digits_stays));
    const auto has = [&](std::string_view word) { return std::find(words.begin(), words.end(), word) != words.end(); };
    const bool yes = has("yes"), no = has("no");
    if (yes == no) return std::nullopt;
    return yes;
}

std::optional<bool> yes_no_mme(std::string_view prediction) {
    const auto answer = python::lower(python::strip(prediction));
    // The first four characters; what lies behind a longer first character cannot hold the words, so bytes serve as
    // well.
    const auto start = std::string_view(answer).substr(0, 4);
    if (python::contains(start, "yes")) return true;
    if (python::contains(start, "no")) return false;
    return std::nullopt;
}

bool yes_no_pope(std::string_view prediction) {
    const auto sentence = replace_all(std::string(prediction.substr(0, prediction.find('.'))), ",", "");
    for (const auto& word : split(sentence, ' '))
        if (word == "No" || word == "not" || word == "no") return false;
    return true;
}

}  // namespace tg::evaluation
