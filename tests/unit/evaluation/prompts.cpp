#include "prompts.hpp"

#include <gtest/gtest.h>

namespace tg::evaluation {
namespace {

using enum PromptFamily;
using enum PromptStyle;
using Cells = std::map<std::string, std::string>;
constexpr std::string_view letter_suffix = "\nAnswer with the option's letter from the given choices directly.";
constexpr std::string_view short_suffix = "Answer the question using a single word or phrase.";

std::string words(const Cells& cells, PromptStyle style, PromptFamily family = llava) {
    return word_question({.index = "1", .cells = cells}, style, family, 1, 1).text;
}

TEST(Prompts, choices_are_lettered_under_hint_and_question) {
    EXPECT_EQ(words({{"question", "Which?"}, {"A", "one"}, {"C", "three"}}, choice),
              "<image>\nWhich?\nA. one\nC. three" + std::string(letter_suffix));
    EXPECT_EQ(words({{"question", "Which?"}, {"hint", "Look."}, {"A", "one"}}, choice),
              "<image>\nLook.\nWhich?\nA. one" + std::string(letter_suffix));
    EXPECT_EQ(words({{"question", "Which?"}, {"A", "one"}}, choice, internvl),
              words({{"question", "Which?"}, {"A", "one"}}, choice, llava));
    EXPECT_EQ(words({{"question", "Which?"}}, choice), "<image>\nWhich?\nAnswer the question directly.");
}

TEST(Prompts, Chinese_questions_get_Chinese_suffixes) {
    EXPECT_EQ(words({{"question", "哪个?"}, {"A", "one"}}, choice), "<image>\n哪个?\nA. one\n请直接回答选项字母。");
    EXPECT_EQ(words({{"question", "Which?"}, {"A", "一"}}, choice), "<image>\nWhich?\nA. 一\n请直接回答选项字母。");
    EXPECT_EQ(words({{"question", "哪个?"}}, choice), "<image>\n哪个?\n请直接回答问题。");
}

TEST(Prompts, each_family_has_its_own_suffix) {
    const Cells cells{{"question", "Is it?"}};
    const std::string q = "<image>\nIs it?", s(short_suffix);
    EXPECT_EQ(words(cells, short_answer), q + "\n" + s);
    EXPECT_EQ(words(cells, mme, llava), q + "\n" + s);
    EXPECT_EQ(words(cells, mme, internvl), q + " " + s);
    EXPECT_EQ(words(cells, pope, llava), q + "\n" + s);
    EXPECT_EQ(words(cells, pope, internvl), q);
    EXPECT_EQ(words(cells, hallusion, llava), q);
    EXPECT_EQ(words(cells, hallusion, internvl), q + " Please answer yes or no. " + s);
    EXPECT_EQ(words(cells, bare, internvl), q);
    EXPECT_EQ(words(cells, in_detail, llava), q);
    EXPECT_EQ(words(cells, in_detail, internvl), q + "\nAnswer this question in detail.");
    EXPECT_EQ(words(cells, mmmu), q + "\n" + s);
}

TEST(Prompts, a_ready_prompt_stays_as_it_is) {
    const Question question{.index = "1", .cells = Cells{{"question", "Is it?\nAnswer."}}, .prompt_is_ready = true};
    EXPECT_EQ(word_question(question, mme, internvl, 1, 1).text, "<image>\nIs it?\nAnswer.");
}

TEST(Prompts, several_pictures_stand_in_front_or_where_MMMU_marks_them) {
    const auto two = word_question({.index = "1", .cells = Cells{{"question", "Same?"}}}, bare, llava, 2, 8);
    EXPECT_EQ(two.text, "<image>\n<image>\nSame?");
    EXPECT_EQ(two.pictures, (std::vector<std::size_t>{0, 1}));
    const Question marked{
        .index = "1",
        .cells = Cells{{"question", "In <image 2> and <image 1>, <image x> <image 7>?"}, {"A", "<image 1>"}}};
    const auto all = word_question(marked, mmmu, llava, 2, 8);
    EXPECT_EQ(all.text, "In <image> and <image>, <image x> <image 7>?\nA. <image>" + std::string(letter_suffix));
    EXPECT_EQ(all.pictures, (std::vector<std::size_t>{1, 0, 0}));
    const auto first = word_question(marked, mmmu, llava, 2, 1);
    EXPECT_EQ(first.text, "In <image> and <image 1>, <image x> <image 7>?\nA. <image 1>" + std::string(letter_suffix));
    EXPECT_EQ(first.pictures, (std::vector<std::size_t>{1}));
    const auto blind = word_question(marked, mmmu, llava, 2, 0);
    EXPECT_TRUE(blind.pictures.empty());
    EXPECT_EQ(blind.text.find("<image>"), std::string::npos);
}

}  // namespace
}  // namespace tg::evaluation
