// The words put to a model for each kind of question, by model family, exactly as the reference evaluations put them
// (LLaVA's scripts, VLMEvalKit's wrappers for LLaVA-v1.5 and InternVL-Chat). The turn template around them belongs to
// the model (nn).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "questions.hpp"
#include "taskgalaxy/evaluation/settings.hpp"

namespace tg::evaluation {

enum class PromptStyle {
    choice,        // hint, question, lettered options, "answer with the letter"
    mmmu,          // choice, with `<image n>` marks in question or options
    short_answer,  // "a single word or phrase"
    mme,           // yes/no with the suffix of the family's own script
    pope,
    hallusion,
    bare,       // the question alone
    in_detail,  // LLaVA-in-the-wild
};

struct WordedQuestion {
    std::string text;                   // with `<image>` where pictures go
    std::vector<std::size_t> pictures;  // which of the question's pictures stands at each mark, in order
};

// `pictures` is how many the question has. Marks `<image n>` of MMMU are places; elsewhere pictures stand in front. A
// model that sees one picture gets `most_pictures` = 1: the first one is shown and later marks stay as words.
WordedQuestion word_question(const Question& question, PromptStyle style, PromptFamily family, std::size_t pictures,
                             std::size_t most_pictures);

}  // namespace tg::evaluation
