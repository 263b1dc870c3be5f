// Punctuation as the VQA evaluation treats it; shared by short answers and yes/no questions.
#pragma once

#include <string>
#include <string_view>

namespace tg::evaluation {

// Which periods go: those that touch no digit on either side, or all that no digit follows.
enum class PeriodRule { between_digits_stays, before_digit_stays };

// A mark is deleted where it stands beside a space anywhere in the text, or where the text has a digit-comma-digit;
// else it becomes a space. Only the first 32 periods go: the reference hands a regular expression's flag to its count.
std::string without_punctuation(std::string_view text, PeriodRule periods);

}  // namespace tg::evaluation
