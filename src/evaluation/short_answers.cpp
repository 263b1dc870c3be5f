// Short answers: the VQA score, ChartQA's relaxed match, MathVista's numbers.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unordered_map>

#include "answers.hpp"
#include "python_text.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"
#include "vqa_text.hpp"

namespace tg::evaluation {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool has_comma_between_digits(std::string_view text) {
    for (auto at = text.find(','); at != text.npos; at = text.find(',', at + 1))
        if (at > 0 && at + 1 < text.size() && is_digit(text[at - 1]) && is_digit(text[at + 1])) return true;
    return false;
}

// Written forms whose apostrophe people leave out. Every form with exactly one of its apostrophes missing is restored:
// "dont", "couldntve" not, "couldnt've" and "couldn'tve" yes. The one exception of the VQA evaluation goes the other
// way (somebody'd).
const std::unordered_map<std::string, std::string>& restored_apostrophes() {
    static const auto forms = [] {
        std::unordered_map<std::string, std::string> out{{"somebody'd", "somebodyd"}};
        for (const auto& form : split("ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't "
                                      "he'd he's how'd how'll how's isn't it'd it'll ma'am mightn't might've "
                                      "mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't "
                                      "somebody'll somebody's someone'd someone'll someone's something'd something'll "
                                      "that's there'd there're there's they'd they'll they're they've 'twas wasn't "
                                      "we've weren't what'll what're what's what've when's where'd where's where've "
                                      "who'd who'll who's who've why'll why're why's won't would've wouldn't y'all "
                                      "you'd you'll you're you've couldn't've hadn't've he'd've it'd've mightn't've "
                                      "'ow's'at she'd've shouldn't've somebody'd've someone'd've something'd've "
                                      "there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've",
                                      ' '))
            for (auto at = form.find('\''); at != form.npos; at = form.find('\'', at + 1))
                out.emplace(form.substr(0, at) + form.substr(at + 1), form);
        return out;
    }();
    return forms;
}

// Number words become digits, articles go, apostrophes come back.
std::string plain_words(std::string_view text) {
    static const std::unordered_map<std::string, std::string> numbers{
        {"none", "0"}, {"zero", "0"}, {"one", "1"},   {"two", "2"},   {"three", "3"}, {"four", "4"},
        {"five", "5"}, {"six", "6"},  {"seven", "7"}, {"eight", "8"}, {"nine", "9"},  {"ten", "10"}};
    std::string out;
    for (auto word : python::split(python::lower(text))) {
        if (const auto number = numbers.find(word); number != numbers.end()) word = number->second;
        if (word == "a" || word == "an" || word == "the") continue;
        if (const auto form = restored_apostrophes().find(word); form != restored_apostrophes().end())
            word = form->second;
        if (!out.empty()) out += ' ';
        out += word;
    }
    return out;
}

std::string without_line_breaks(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::replace(text.begin(), text.end(), '\t', ' ');
    return std::string(python::strip(text));
}

// "12%" as 0.12.
std::optional<double> chart_number(std::string_view text) {
    if (!text.ends_with('%')) return python::to_float(text);
    while (text.ends_with('%')) text.remove_suffix(1);
    const auto number = python::to_float(text);
    return number ? std::optional(*number / 100) : std::nullopt;
}

double rounded(double value, int decimals) {
    return python::to_float(fmt::format("{:.{}f}", value, decimals)).value_or(value);
}

}  // namespace

std::string without_punctuation(std::string_view text, PeriodRule periods) {
    constexpr std::string_view marks = ";/[]\"{}()=+\\_-><@`,?!";
    constexpr int most_periods = 32;
    const bool joined_number = has_comma_between_digits(text);
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (marks.find(c) == marks.npos) out += c;
        else if (!joined_number && !python::contains(text, std::string{c, ' '}) &&
                 !python::contains(text, std::string{' ', c}))
            out += ' ';
    }
    std::string kept;
    int gone = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const bool after_digit = i > 0 && is_digit(out[i - 1]),
                   before_digit = i + 1 < out.size() && is_digit(out[i + 1]);
        const bool stays = before_digit || (periods == PeriodRule::between_digits_stays && after_digit);
        if (out[i] == '.' && !stays && gone < most_periods) ++gone;
        else kept += out[i];
    }
    return kept;
}

std::string vqa_normalised(std::string_view text, VqaNorm norm) {
    if (norm == VqaNorm::vlmevalkit)
        return plain_words(
            without_punctuation(without_line_breaks(std::string(text)), PeriodRule::between_digits_stays));
    auto words = python::lower(text);
    std::erase(words, ',');
    std::erase(words, '?');
    words = without_line_breaks(replace_all(std::move(words), "'s", " 's"));
    return plain_words(without_punctuation(words, PeriodRule::before_digit_stays));
}

double vqa_score(std::string_view prediction, std::span<const std::string> references, VqaNorm norm) {
    if (references.empty()) return 0;
    constexpr double enough = 3;  // people who must agree
    const auto answer = vqa_normalised(prediction, norm);
    std::vector<bool> matches;
    for (const auto& reference : references) matches.push_back(vqa_normalised(reference, norm) == answer);
    const auto all = std::count(matches.begin(), matches.end(), true);
    double sum = 0;
    for (const bool match : matches) sum += std::min(1.0, static_cast<double>(all - (match ? 1 : 0)) / enough);
    return sum / static_cast<double>(references.size());
}

bool relaxed_match(std::string_view prediction, std::string_view reference) {
    constexpr double tolerance = 0.05;
    prediction = python::strip(prediction);
    const auto said = chart_number(prediction), true_value = chart_number(reference);
    if (said && true_value && *true_value != 0)
        return std::abs(*said - *true_value) / std::abs(*true_value) <= tolerance;
    return python::lower(prediction) == python::lower(reference);
}

bool math_match(std::string_view prediction, std::string_view reference, std::string_view type, int precision,
                bool official) {
    prediction = python::strip(prediction);
    reference = python::strip(reference);
    if (type == "integer") {
        if (!official) {
            const auto said = python::to_int(prediction), wanted = python::to_int(reference);
            return said && wanted && *said == *wanted;
        }
        const auto said = python::to_float(prediction), wanted = python::to_float(reference);
        return said && wanted && std::trunc(*said) == std::trunc(*wanted);
    }
    if (type == "float") {
        const auto said = python::to_float(prediction), wanted = python::to_float(reference);
        if (!said || !wanted) return false;
        return official && precision >= 0 ? rounded(*said, precision) == rounded(*wanted, precision) : *said == *wanted;
    }
    if (type == "list") {
        const auto said = parse_list_literal(prediction), wanted = parse_list_literal(reference);
        return said && wanted &&
               std::equal(said->begin(), said->end(), wanted->begin(), wanted->end(),
                          [](const std::string& a, const std::string& b) {
                              const auto x = python::to_float(a), y = python::to_float(b);
                              return x && y ? *x == *y
                                            : python::lower(python::strip(a)) == python::lower(python::strip(b));
                          });
    }
    return python::lower(prediction) == python::lower(reference);
}

}  // namespace tg::evaluation
