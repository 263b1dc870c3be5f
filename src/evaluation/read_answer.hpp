// One answer read by one benchmark's rule; the column `read` of the suite.
#pragma once

#include "suite.hpp"

namespace tg::evaluation {

Verdict read_choice(const Question& question, std::string_view prediction, Convention convention);
Verdict read_seedbench(const Question& question, std::string_view prediction, Convention convention);
Verdict read_science_qa(const Question& question, std::string_view prediction, Convention convention);
Verdict read_mmmu(const Question& question, std::string_view prediction, Convention convention);
Verdict read_yes_no(const Question& question, std::string_view prediction, Convention convention);
Verdict read_mme(const Question& question, std::string_view prediction, Convention convention);
Verdict read_pope(const Question& question, std::string_view prediction, Convention convention);
Verdict read_textvqa(const Question& question, std::string_view prediction, Convention convention);
Verdict read_chartqa(const Question& question, std::string_view prediction, Convention convention);
Verdict read_mathvista(const Question& question, std::string_view prediction, Convention convention);
Verdict read_short(const Question& question, std::string_view prediction, Convention convention);
// Where only a judge can tell.
Verdict read_nothing(const Question& question, std::string_view prediction, Convention convention);

// What a judge extracted from an answer to a MathVista question, compared with the truth.
Verdict compare_mathvista(const Question& question, std::string_view extracted, Convention convention);

}  // namespace tg::evaluation
