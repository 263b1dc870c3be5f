#include "taskgalaxy/llm/thoughts.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {

TEST(thoughts, are_taken_off_in_every_spelling) {
    for (const auto* text : {"<think>1. It fits.\n0?</think>\n1", "<THINK>no</THINK>1", "it fits, hence\n</think>\n\n1",
                             "[THINK]0[/THINK]1", "◁think▷ 0 ◁/think▷ 1", "<thinking>a<think>b</think>c</thinking>1",
                             "<reasoning effort=\"high\">0</reasoning>1", "<think></think>1<think>0",
                             "<|channel|>analysis<|message|>0<|end|><|start|>assistant<|channel|>final<|message|>1",
                             "<|channel|>final<|message|>1<|return|>", "1"})
        EXPECT_EQ(trimmed(without_thoughts(text)), "1") << text;
}

TEST(thoughts, that_never_end_leave_no_answer) {
    for (const auto* text : {"<think>1", "<think>a</think><think>1", "<|channel|>analysis<|message|>1",
                             "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final", ""})
        EXPECT_EQ(trimmed(without_thoughts(text)), "") << text;
}

TEST(thoughts, are_not_seen_where_there_are_none) {
    for (const std::string text : {"[a~b, c~d]", "a < b > c", "[None]", "{\"valid\": 1}", "<b>1</b>", "I think: 1",
                                   "[1] ◁", "thinking~thought~reasoning", "<thinker>1", "\xE2\x97"})
        EXPECT_EQ(without_thoughts(text), text);
}

// An answer without marks is found whatever is thought before it.
TEST(thoughts, never_hide_an_answer_behind_them) {
    const std::vector<std::string> pieces{"1",       "0",  "[None]", "<think>", "</think>", "\n", "{\"valid\": 0}",
                                          "<|odd|>", "a~b"};
    RandomStream random(5);
    for (int round = 0; round < 2000; ++round) {
        std::string thought;
        int open = 1;
        for (auto n = random.below(12); n > 0; --n) {
            const auto& piece = pieces[random.below(pieces.size())];
            if (piece == "</think>" && open == 1) continue;
            open += piece == "<think>" ? 1 : piece == "</think>" ? -1 : 0;
            thought += piece;
        }
        while (open-- > 0) thought += "</think>";
        EXPECT_EQ(without_thoughts("<think>" + thought + "[a~b]"), "[a~b]") << thought;
    }
}

}  // namespace tg::llm
