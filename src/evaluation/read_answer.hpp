// One answer read by one benchmark's rule; the column `read` of the suite.
#pragma once

#include "suite.hpp"

namespace tg::evaluation {

Mark read_choice(const Question& question, std::string_view prediction, Convention convention);
Mark read_seedbench(const Question& question, std::string_view prediction, Convention convention);
Mark read_science_qa(const Question& question, std::string_view prediction, Convention convention);
Mark read_mmmu(const Question& question, std::string_view prediction, Convention convention);
Mark read_yes_no(const Question& question, std::string_view prediction, Convention convention);
Mark read_mme(const Question& question, std::string_view prediction, Convention convention);
Mark read_pope(const Question& question, std::string_view prediction, Convention convention);
Mark read_textvqa(const Question& question, std::string_view prediction, Convention convention);
Mark read_chartqa(const Question& question, std::string_view prediction, Convention convention);
Mark read_mathvista(const Question& question, std::string_view prediction, Convention convention);
Mark read_short(const Question& question, std::string_view prediction, Convention convention);
// Where only a judge can tell.
Mark read_nothing(const Question& question, std::string_view prediction, Convention convention);

// What a judge extracted from an answer to a MathVista question, compared with the truth.
Mark compare_mathvista(const Question& question, std::string_view extracted, Convention convention);

}  // namespace tg::evaluation
