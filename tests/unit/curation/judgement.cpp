#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/curation/answers.hpp"

namespace tg::curation {
namespace {

// Answers with % where the vote stands. The votes read are the digit put there.
const std::vector<std::string> votes{"%",
                                     " %\n",
                                     "**%**",
                                     "[%]",
                                     "\"%\"",
                                     "%.",
                                     "Answer: %",
                                     "My verdict is %",
                                     "Score = %.",
                                     "Vote: **%**",
                                     "**Final verdict:** %",
                                     "Therefore, the validity of the sample is %.",
                                     "```\n%\n```",
                                     "{\"valid\": %}",
                                     "%, because the count is wrong.",
                                     "%: the boats are five",
                                     "%\n\nThe answer can be seen.",
                                     "The question suits the picture.\n\n%",
                                     "1. The type suits.\n2. It can be answered.\n3. The answer is wrong.\n%",
                                     "1. The type suits.\n2. It can be answered.\n\n**Answer: %**",
                                     "1) fits\n2) fits\n3) fits\nVote: %",
                                     "0. first\n1. second\n\n%",
                                     "%\n1. The type suits.\n2. It cannot be answered.",
                                     "<think>1? 0?</think>%",
                                     "<think>\n1. no\n</think>\n\nVerdict: %"};
// Answers that hold digits, and no vote.
const std::vector<std::string> no_votes{
    "",
    "yes",
    "10",
    "01",
    "0.5",
    "1.5",
    "-%",
    "2",
    "%/1",
    "% errors were found, so the sample is fine",
    "% bird is seen",
    "Answer: 1\nAnswer: 0",
    "Answer: 0\nAnswer: 1",
    "1\n0",
    "0\n1",
    "I cannot help with that.",
    "answer: 10",
    "score: 0.8",
    "score: %.8",
    "{\"valid\": 7}",
    "{\"valid\": 1, \"complete\": 0}",
    "{\"valid\": 0, \"complete\": 1}",
    "{\"valid\": true, \"complete\": false}",
    "%. The sample is valid.",
    "%. The answer is wrong, so the sample is not valid.",
    "%) The answer is wrong.",
    "1. The type suits.\n2. It can be answered.\n3. The answer is wrong, so the sample is not valid.",
    "1. The type suits.\n2. It can be answered.\n3. The answer is right, so the sample is valid.",
    "0. The type suits.\n1. The answer is wrong.",
    "%: the type suits\n2: it can be answered\n3: wrong",
    "The correct answer is %",
    "The answer should be %",
    "The picture shows % dog; the answer is right.",
    "Condition 1: valid",
    "not valid: %",
    "invalid: %",
    "1 or 0",
    "<think>%",
    "The type suits.\n%\nThat is all."};

std::string with(std::string text, char digit) {
    return replace_all(std::move(text), "%", std::string_view(&digit, 1));
}

}  // namespace

TEST(a_judgement, is_the_digit_wherever_the_grammar_has_a_place_for_it) {
    for (const auto& text : votes)
        for (const char digit : {'0', '1'}) {
            const auto answer = read_judge_answer(with(text, digit));
            EXPECT_EQ(answer.vote, digit - '0') << with(text, digit);
            EXPECT_THAT(answer.problem, testing::IsEmpty()) << with(text, digit);
        }
    EXPECT_EQ(read_judge_answer("{\"valid\": true}").vote, 1);
    EXPECT_EQ(read_judge_answer("{\"valid\": false}").vote, 0);
}

TEST(a_judgement, is_never_guessed) {
    for (const auto& text : no_votes)
        for (const char digit : {'0', '1'}) {
            const auto answer = read_judge_answer(with(text, digit));
            EXPECT_EQ(answer.vote, -1) << with(text, digit);
            EXPECT_THAT(answer.problem, testing::Not(testing::IsEmpty())) << with(text, digit);
        }
}

TEST(a_judgement, as_one_digit_leaves_no_note) {
    for (const auto count : read_judge_answer("1").notes.counts) EXPECT_EQ(count, 0);
}

// Answers put together from what judges write: swapping the two digits everywhere swaps the vote, whatever the answer
// is.
TEST(a_judgement, treats_0_and_1_alike) {
    const std::vector<std::string> pieces{"0",       "1",           "0.",      "1.",      "0)",      "1)",
                                          "0,",      "1:",          "Answer:", "vote is", "score =", "valid",
                                          "invalid", "not",         "\n",      "\n",      "**",      " because it fits",
                                          " wrong.", "{\"v\":",     "}",       "10",      "01",      "0/1",
                                          "<think>", "</think>",    "0 0",     "-",       "- 1",     "(0)",
                                          "final ",  "the sample ", "```",     "is 1",    "is 0"};
    RandomStream random(3);
    int read = 0;
    for (int round = 0; round < 200'000; ++round) {
        std::string text, swapped;
        for (auto n = 1 + random.below(7); n > 0; --n) {
            text += pieces[random.below(pieces.size())];
            if (random.unit() < 0.5) text += ' ';
        }
        for (const char c : text) swapped += c == '0' ? '1' : c == '1' ? '0' : c;
        const int vote = read_judge_answer(text).vote, other = read_judge_answer(swapped).vote;
        ASSERT_EQ(other, vote < 0 ? vote : 1 - vote) << text;
        read += vote >= 0;
    }
    EXPECT_GT(read, 10'000);  // enough of them are votes
}

// The conditions of the prompt may be gone through, numbered as they are, before or behind the vote.
TEST(a_judgement, is_not_moved_by_a_numbered_list) {
    RandomStream random(4);
    const std::vector<std::string> remarks{
        "The type suits.", "It cannot be answered.",         "Wrong: there are 3.", "valid", "0", "1", "yes",
        "the answer is 1", "not valid, because 1 is missing"};
    for (int round = 0; round < 5000; ++round) {
        std::string list;
        const auto style = random.below(3);
        for (std::uint64_t i = 1, n = 2 + random.below(4); i <= n; ++i)
            list += std::to_string(i) +
                    (style == 0   ? ". "
                     : style == 1 ? ") "
                                  : ": ") +
                    remarks[random.below(remarks.size())] + "\n";
        const char digit = random.below(2) == 0 ? '0' : '1';
        EXPECT_EQ(read_judge_answer(list + "\nVote: " + digit).vote, digit - '0') << list;
        EXPECT_EQ(read_judge_answer(list + digit).vote, digit - '0') << list;
        EXPECT_EQ(read_judge_answer(digit + ("\n" + list)).vote, digit - '0') << list;
        EXPECT_EQ(read_judge_answer(list).vote, -1) << list;
    }
}

}  // namespace tg::curation
