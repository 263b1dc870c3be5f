#include "answers.hpp"

#include <gtest/gtest.h>
#include <set>

#include "python_text.hpp"
#include "reference.hpp"

namespace tg::evaluation {
namespace {

using test::options_of;
using test::reference;

std::string letter(std::optional<char> said) { return said ? std::string(1, *said) : "undecided"; }

const std::vector<Option> animals{{'A', "cat"}, {'B', "dog"}, {'C', "bird"}, {'D', "fish"}};

TEST(Options, are_read_as_VLMEvalKit_reads_them_in_every_recorded_case) {
    std::size_t cases = 0;
    for (const auto& [answer, options, expected] :
         reference()["choice"].get<std::vector<std::tuple<std::string, nlohmann::json, nlohmann::json>>>()) {
        EXPECT_EQ(letter(option_named(answer, options_of(options))),
                  expected.is_null() ? "undecided" : expected.get<std::string>())
            << "answer '" << answer << "', options " << options;
        ++cases;
    }
    EXPECT_GT(cases, 1000u);
}

TEST(Options, are_read_as_the_MMMU_authors_read_them_and_undecided_where_they_draw_lots) {
    for (const auto& [answer, options, expected] :
         reference()["mmmu_choice"].get<std::vector<std::tuple<std::string, nlohmann::json, nlohmann::json>>>())
        EXPECT_EQ(letter(option_mmmu(answer, options_of(options))),
                  expected.is_null() ? "undecided" : expected.get<std::string>())
            << "answer '" << answer << "', options " << options;
}

TEST(Options, a_letter_counts_only_among_the_last_four_words_and_only_alone) {
    EXPECT_EQ(letter(option_named("B", animals)), "B");
    EXPECT_EQ(letter(option_named("the answer: (C).", animals)), "C");
    EXPECT_EQ(letter(option_named("B x x x", animals)), "B");
    EXPECT_EQ(letter(option_named("B x x x x", animals)), "undecided");
    EXPECT_EQ(letter(option_named("A and B", animals)), "undecided");
    EXPECT_EQ(letter(option_named("E", animals)), "undecided");
    EXPECT_EQ(letter(option_named("b", animals)), "undecided");
}

TEST(Options, SEED_Bench_of_LLaVA_takes_the_letter_and_nothing_else) {
    EXPECT_EQ(letter(option_exact("B", animals)), "B");
    for (const char* answer : {"B.", "b", " B", "(B)", "E", ""})
        EXPECT_EQ(letter(option_exact(answer, animals)), "undecided") << answer;
}

TEST(Options, ScienceQA_of_LLaVA_takes_three_forms) {
    EXPECT_EQ(letter(option_science_qa("B", animals)), "B");
    EXPECT_EQ(letter(option_science_qa("C. because it flies", animals)), "C");
    EXPECT_EQ(letter(option_science_qa("It flies. The answer is C.", animals)), "C");
    EXPECT_EQ(letter(option_science_qa("The answer is C!", animals)),
              "C");  // the period of the pattern is any character
    EXPECT_EQ(letter(option_science_qa("The answer is C", animals)), "undecided");  // and must be there
    EXPECT_EQ(letter(option_science_qa("The answer is A. The answer is A.", animals)), "undecided");
    EXPECT_EQ(letter(option_science_qa("The answer is E.", animals)), "undecided");  // beyond the choices
    EXPECT_EQ(letter(option_science_qa("E", animals)), "undecided");
    EXPECT_EQ(letter(option_science_qa("B.", animals)), "undecided");
    EXPECT_EQ(letter(option_science_qa("b. dog", animals)), "undecided");
    EXPECT_EQ(letter(option_science_qa("", animals)), "undecided");
}

TEST(YesNo, is_read_as_VLMEvalKit_reads_it_in_every_recorded_case) {
    for (const auto& [answer, expected] :
         reference()["yes_no"].get<std::vector<std::pair<std::string, std::string>>>()) {
        const auto said = yes_no_word(answer);
        EXPECT_EQ(said ? (*said ? "Yes" : "No") : "Unknown", expected) << "answer '" << answer << "'";
    }
}

TEST(YesNo, of_MME_stands_in_the_first_four_characters) {
    EXPECT_EQ(yes_no_mme("Yes"), true);
    EXPECT_EQ(yes_no_mme(" no \n"), false);
    EXPECT_EQ(yes_no_mme("Yes, there is"), true);
    EXPECT_EQ(yes_no_mme("\"no\""), false);
    EXPECT_EQ(yes_no_mme("not at all"), false);
    EXPECT_EQ(yes_no_mme("I say no"), std::nullopt);
    EXPECT_EQ(yes_no_mme("know"), false);  // as the script has it
    EXPECT_EQ(yes_no_mme("well, yes"), std::nullopt);
    EXPECT_EQ(yes_no_mme(""), std::nullopt);
}

TEST(YesNo, of_POPE_is_yes_unless_the_first_sentence_denies) {
    EXPECT_FALSE(yes_no_pope("No, there is no dog."));
    EXPECT_FALSE(yes_no_pope("There is not a dog"));
    EXPECT_TRUE(yes_no_pope("Yes. There is no cat."));
    EXPECT_TRUE(yes_no_pope("I do know"));
    EXPECT_TRUE(yes_no_pope("NO"));  // as the script has it: only No, not, no
    EXPECT_TRUE(yes_no_pope(""));
    EXPECT_FALSE(yes_no_pope("no, sir"));
}

TEST(ShortAnswers, are_normalised_as_both_tools_normalise_them) {
    for (const auto& [answer, vlmevalkit, llava] :
         reference()["normalised"].get<std::vector<std::tuple<std::string, std::string, std::string>>>()) {
        EXPECT_EQ(vqa_normalised(answer, VqaNorm::vlmevalkit), vlmevalkit) << "answer '" << answer << "'";
        EXPECT_EQ(vqa_normalised(answer, VqaNorm::llava), llava) << "answer '" << answer << "'";
    }
}

TEST(ShortAnswers, the_VQA_score_equals_both_tools) {
    for (const auto& [answer, references, vlmevalkit, llava] :
         reference()["vqa_score"]
             .get<std::vector<std::tuple<std::string, std::vector<std::string>, double, double>>>()) {
        EXPECT_NEAR(vqa_score(answer, references, VqaNorm::vlmevalkit), vlmevalkit, 1e-12) << answer;
        EXPECT_NEAR(vqa_score(answer, references, VqaNorm::llava), llava, 1e-12) << answer;
    }
}

TEST(ShortAnswers, the_VQA_score_by_number_of_people_who_agree) {
    const double expected[] = {0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1};
    for (std::size_t agree = 0; agree <= 10; ++agree) {
        std::vector<std::string> references(10, "other");
        std::fill_n(references.begin(), agree, "cat");
        EXPECT_NEAR(vqa_score("a cat", references, VqaNorm::vlmevalkit), expected[agree], 1e-12) << agree;
    }
    EXPECT_EQ(vqa_score("cat", {}, VqaNorm::llava), 0);
}

TEST(ShortAnswers, ChartQA_forgives_five_percent_of_numbers_and_nothing_of_words) {
    for (const auto& [prediction, truth, expected] :
         reference()["relaxed"].get<std::vector<std::tuple<std::string, std::string, bool>>>())
        EXPECT_EQ(relaxed_match(prediction, truth), expected) << "'" << prediction << "' for '" << truth << "'";
}

TEST(OpenAnswers, of_MMMU_are_taken_apart_and_matched_as_its_authors_do) {
    for (const auto& [prediction, answer, expected, items] :
         reference()["mmmu_open"]
             .get<std::vector<std::tuple<std::string, std::string, bool, std::vector<std::string>>>>()) {
        std::vector<std::string> wanted{answer};
        if (answer == "['24/7', '3.429']") wanted = {"24/7", "3.429"};
        EXPECT_EQ(mmmu_open_match(prediction, wanted), expected) << "'" << prediction << "' for '" << answer << "'";
        std::multiset<std::string> texts, expected_texts;
        std::multiset<double> numbers, expected_numbers;
        for (const auto& item : mmmu_open_items(prediction)) {
            if (const auto* number = std::get_if<double>(&item)) numbers.insert(*number);
            else texts.insert(std::get<std::string>(item));
        }
        // The recorded items are texts; a number among ours must be one of them, written in Python's way.
        for (const auto& item : items) {
            const auto number = python::to_float(item);
            if (number && numbers.contains(*number)) expected_numbers.insert(*number);
            else expected_texts.insert(item);
        }
        if (prediction != "nan") {
            EXPECT_EQ(texts, expected_texts) << prediction;
            EXPECT_EQ(numbers, expected_numbers) << prediction;
        }
    }
}

TEST(MathAnswers, lists_and_words_can_be_right_and_the_official_rule_rounds) {
    EXPECT_TRUE(math_match("[2007, 2008]", "[2007, 2008]", "list", -1, false));
    EXPECT_TRUE(math_match("[2007.0,2008]", "[2007, 2008]", "list", -1, false));
    EXPECT_FALSE(math_match("[2008, 2007]", "[2007, 2008]", "list", -1, false));
    EXPECT_FALSE(math_match("2007, 2008", "[2007, 2008]", "list", -1, false));
    EXPECT_TRUE(math_match("Blue ", "blue", "text", -1, false));
    EXPECT_FALSE(math_match("14.0", "14", "integer", -1, false));
    EXPECT_TRUE(math_match("14.7", "14", "integer", -1, true));
    EXPECT_TRUE(math_match("1.24", "1.2", "float", 1, true));
    EXPECT_FALSE(math_match("1.24", "1.2", "float", 1, false));
    EXPECT_FALSE(math_match("about 1.2", "1.2", "float", 1, true));
}

TEST(PythonText, numbers_are_what_float_and_int_take) {
    for (const auto& [text, value] : std::vector<std::pair<std::string, double>>{{"1", 1},
                                                                                 {" 1.5\n", 1.5},
                                                                                 {"1e3", 1000},
                                                                                 {"1_000", 1000},
                                                                                 {"+2", 2},
                                                                                 {".5", 0.5},
                                                                                 {"5.", 5},
                                                                                 {"1e999", HUGE_VAL},
                                                                                 {"-Infinity", -HUGE_VAL}})
        EXPECT_EQ(python::to_float(text), value) << text;
    for (const char* text : {"", " ", "1,000", "1__0", "_1", "1_", "0x10", "--1", "+-1", "nan(5)", "1 2", "one"})
        EXPECT_EQ(python::to_float(text), std::nullopt) << text;
    EXPECT_EQ(python::to_int(" +1_4 "), 14);
    for (const char* text : {"1.0", "1e3", "", "+-4", "99999999999999999999"})
        EXPECT_EQ(python::to_int(text), std::nullopt) << text;
}

TEST(PythonText, blanks_and_lengths_are_those_of_unicode) {
    EXPECT_EQ(python::strip("\xE3\x80\x80 a\xC2\xA0"), "a");
    EXPECT_EQ(python::split("a\xC2\xA0"
                            "b\t c"),
              (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(python::length("\xC3\x89t\xC3\xA9"), 3u);
    EXPECT_EQ(python::lower("\xC3\x89T\xC3\x89"), "\xC3\xA9t\xC3\xA9");
    EXPECT_EQ(python::length("\xFF\xFE"), 2u);
    EXPECT_TRUE(python::has_cjk("see \xE5\xB7\xA6"));
    EXPECT_FALSE(python::has_cjk("see \xE3\x81\x82"));
}

}  // namespace
}  // namespace tg::evaluation
