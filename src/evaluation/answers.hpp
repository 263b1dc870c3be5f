// What a model's answer says: which option, yes or no, which short answer, which number. Pure functions of texts, each
// after the public tool whose numbers it must reproduce (VLMEvalKit, LLaVA's evaluation scripts, the MMMU authors'
// scorer, MME's and POPE's). `reference` texts are benchmark answers, `prediction` texts are model output.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "questions.hpp"

namespace tg::evaluation {

// --- Options
// The letter that the answer names; 'Z': the model declined (wrong for certain); nothing: undecided, wrong unless a
// judge is asked. VLMEvalKit's matching without a judge: letters as whole words, then "answer is X", then the one
// option text that occurs.
std::optional<char> option_named(std::string_view prediction, std::span<const Option> options);
// LLaVA's SEED-Bench script: the answer is the letter and nothing else.
std::optional<char> option_exact(std::string_view prediction, std::span<const Option> options);
// LLaVA's ScienceQA script: the letter; or "X. ..."; or exactly one "The answer is X" with one more character behind
// it.
std::optional<char> option_science_qa(std::string_view prediction, std::span<const Option> options);
// The MMMU authors' parser. Where theirs draws a random option, nothing is returned (ours counts that wrong).
std::optional<char> option_mmmu(std::string_view prediction, std::span<const Option> options);

// --- Yes and no
std::optional<bool> yes_no_word(
    std::string_view prediction);  // VLMEvalKit: exactly one of the words after cleaning punctuation
std::optional<bool> yes_no_mme(std::string_view prediction);  // MME's script: in the first four characters
bool yes_no_pope(std::string_view prediction);  // POPE's script: any no/not in the first sentence, else yes

// --- Short answers
enum class VqaNorm { vlmevalkit, llava };  // they differ in periods, commas, question marks and 's
std::string vqa_normalised(std::string_view text, VqaNorm norm);
// Mean over the references of min(1, matches among the others / 3), in [0,1].
double vqa_score(std::string_view prediction, std::span<const std::string> references, VqaNorm norm);
// ChartQA: within 5 % where both are numbers ("12%" is 0.12) and the reference is not 0, else equal but for case.
bool relaxed_match(std::string_view prediction, std::string_view reference);

// The MMMU authors' reading of open answers: texts and numbers that the answer may be saying.
using MmmuItem = std::variant<double, std::string>;
std::vector<MmmuItem> mmmu_normalised(std::string_view text);
std::vector<MmmuItem> mmmu_open_items(std::string_view prediction);
bool mmmu_open_match(std::string_view prediction, std::span<const std::string> references);

// MathVista's free-form answers. `type` is integer, float, text or list; `precision` is the number of decimals or
// negative. `official` rounds floats to the precision and cuts integers as the authors do; else numbers must be equal
// as written.
bool math_match(std::string_view prediction, std::string_view reference, std::string_view type, int precision,
                bool official);

}  // namespace tg::evaluation
