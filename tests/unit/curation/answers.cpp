#include "taskgalaxy/curation/answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace tg;
using namespace tg::curation;
using testing::ElementsAre;
using testing::IsEmpty;

namespace {

const std::vector<std::string> candidates{"animals~birds~naming birds", "animals~fish~naming fish",
                                          "food~fruit, fresh~counting fruit", "town~road signs"};
const std::vector<std::string> types{"animals~birds~naming birds", "town~road signs"};

std::int64_t all_of(const Notes& notes) {
    std::int64_t sum = 0;
    for (const auto count : notes.counts) sum += count;
    return sum;
}

}  // namespace

// --- expansion

TEST(an_expansion_answer, is_one_name_a_line_at_level_1) {
    const auto answer = read_expand_answer("weather reading\nGesture  Reading\n\nweather reading\n", "");
    EXPECT_THAT(answer.paths, ElementsAre("weather reading", "gesture reading"));
    EXPECT_EQ(answer.notes[Note::repeated_label], 1);
    EXPECT_THAT(answer.problem, IsEmpty());
}

TEST(an_expansion_answer, is_one_full_path_a_line_below_a_parent) {
    const auto answer = read_expand_answer(
        "animals~birds\n- Animals \u223C Fish\n3. "
        "animals~insects\nfood~fruit\nanimals~mammals~dogs\nanimals\nanimals~~x\n",
        "animals");
    EXPECT_THAT(answer.paths, ElementsAre("animals~birds", "animals~fish", "animals~insects"));
    EXPECT_EQ(answer.notes[Note::wrong_parent], 1);  // food~fruit
    EXPECT_EQ(answer.notes[Note::bad_path], 2);      // too deep, and an empty level
    EXPECT_EQ(answer.notes[Note::chatter], 1);       // the parent alone, beside paths
}

TEST(an_expansion_answer, may_be_wrapped_in_talk_and_fences) {
    const auto answer = read_expand_answer(
        "Sure! Here are three further subtypes:\n```text\nanimals~birds\nanimals~fish\n```\nLet me know if you want "
        "more.",
        "animals");
    EXPECT_THAT(answer.paths, ElementsAre("animals~birds", "animals~fish"));
    EXPECT_EQ(answer.notes[Note::code_fence], 1);
    EXPECT_EQ(answer.notes[Note::chatter], 1);
    const auto bare = read_expand_answer(
        "Here are some names:\n1. weather reading\n2. menu reading\nI hope that these are useful to you and your team!",
        "");
    EXPECT_THAT(bare.paths, ElementsAre("weather reading", "menu reading"));
    EXPECT_EQ(bare.notes[Note::chatter], 2);
}

TEST(an_expansion_answer, takes_bare_names_for_children_only_where_there_is_no_path) {
    EXPECT_THAT(read_expand_answer("birds\nfish", "animals").paths, ElementsAre("animals~birds", "animals~fish"));
    EXPECT_THAT(read_expand_answer("Of course\nanimals~birds", "animals").paths, ElementsAre("animals~birds"));
}

TEST(an_expansion_answer, may_be_json) {
    EXPECT_THAT(read_expand_answer(R"({"paths": ["animals~birds", "fish"]})", "animals").paths,
                ElementsAre("animals~birds", "animals~fish"));
    EXPECT_THAT(read_expand_answer(R"(["weather reading"])", "").paths, ElementsAre("weather reading"));
    EXPECT_THAT(read_expand_answer(R"({"paths": []})", "animals").problem, IsEmpty());
}

TEST(an_expansion_answer, may_say_that_nothing_is_left) {
    for (const auto* none : {"None", "(none)", "[None]", " none. "}) {
        const auto answer = read_expand_answer(none, "animals");
        EXPECT_THAT(answer.paths, IsEmpty());
        EXPECT_THAT(answer.problem, IsEmpty()) << none;
    }
    for (const auto* bad : {"", "I cannot help with that request, because it is against the rules.", "food~fruit"})
        EXPECT_THAT(read_expand_answer(bad, "animals").problem, testing::Not(IsEmpty())) << bad;
}

TEST(an_expansion_answer, holds_names_and_nothing_else) {
    for (const auto* nothing : {"<think>\nanimals~birds\n", "{", "{ \n\n\n", "{\"paths\": [\"animals~bi", "</think>",
                                "<tool>", "animals~<think>", "animals~{", "animals~none", "animals~N/A", "animals~null",
                                "animals~...", "n/a\nnone", "[\n\n", "<|im_end|>"}) {
        const auto answer = read_expand_answer(nothing, "animals");
        EXPECT_THAT(answer.paths, IsEmpty()) << nothing;
    }
    const auto thinking = read_expand_answer(
        "<think>\nanimals~cats? none\n</think>\nanimals~birds\nanimals~none\nanimals~<b>fish</b>", "animals");
    EXPECT_THAT(thinking.paths, ElementsAre("animals~birds"));
    EXPECT_EQ(thinking.notes[Note::thoughts], 1);
    EXPECT_EQ(thinking.notes[Note::bad_path], 2);
}

TEST(an_expansion_answer, that_is_cut_off_counts_as_far_as_it_is_whole) {
    const auto answer =
        read_expand_answer("{\"paths\": [\"animals~birds\", \"animals~\\u0066ish\",\n \"animals~ins", "animals");
    EXPECT_THAT(answer.paths, ElementsAre("animals~birds", "animals~fish"));
    EXPECT_EQ(answer.notes[Note::broken_json], 1);
    EXPECT_THAT(answer.problem, IsEmpty());
    EXPECT_THAT(read_expand_answer("[\"weather reading\", \"menu", "").paths, ElementsAre("weather reading"));
    EXPECT_THAT(read_expand_answer("{\"paths\": [", "animals").problem, testing::Not(IsEmpty()));
}

// --- refinement

TEST(a_refinement, is_a_bracketed_list_of_candidates) {
    const auto answer = read_refine_answer("[animals~birds~naming birds, town~road signs]", candidates);
    EXPECT_THAT(answer.kept, ElementsAre(1, 0, 0, 1));
    EXPECT_EQ(all_of(answer.notes), 0);
}

TEST(a_refinement, may_be_none) {
    for (const auto* none : {"[None]", "None", "[none]", "```\n[None]\n```", "[]x[None]"}) {
        const auto answer = read_refine_answer(none, candidates);
        EXPECT_THAT(answer.kept, ElementsAre(0, 0, 0, 0)) << none;
        EXPECT_THAT(answer.problem, IsEmpty()) << none;
    }
}

TEST(a_refinement, keeps_labels_that_hold_commas) {
    const auto answer = read_refine_answer("[food~fruit, fresh~counting fruit, animals~fish~naming fish]", candidates);
    EXPECT_THAT(answer.kept, ElementsAre(0, 1, 1, 0));
    EXPECT_EQ(answer.notes[Note::unknown_label], 0);
}

TEST(a_refinement, recognises_other_spellings_of_a_label) {
    const auto answer = read_refine_answer("['Animals \u223C Birds ~ naming birds', \"naming fish\"]", candidates);
    EXPECT_THAT(answer.kept, ElementsAre(1, 1, 0, 0));
    EXPECT_EQ(answer.notes[Note::relabelled], 2);
}

TEST(a_refinement, drops_and_counts_labels_that_were_not_offered_or_come_twice) {
    const auto answer = read_refine_answer("[town~road signs, space~planets, town~road signs]", candidates);
    EXPECT_THAT(answer.kept, ElementsAre(0, 0, 0, 1));
    EXPECT_EQ(answer.notes[Note::unknown_label], 1);
    EXPECT_EQ(answer.notes[Note::repeated_label], 1);
    EXPECT_THAT(read_refine_answer("[space~planets]", candidates).problem, testing::Not(IsEmpty()));
}

TEST(a_refinement, is_found_among_talk) {
    const auto answer = read_refine_answer(
        "The picture [a photo] shows a heron, so I keep:\n\n[animals~birds~naming birds]\n\nThe others do not fit.",
        candidates);
    EXPECT_THAT(answer.kept, ElementsAre(1, 0, 0, 0));
    EXPECT_EQ(answer.notes[Note::chatter], 1);
    // A sentence that names a label is no answer: it may say that it does not fit.
    EXPECT_THAT(read_refine_answer("I think animals~birds~naming birds does not fit.", candidates).problem,
                testing::Not(IsEmpty()));
}

TEST(a_refinement, may_be_a_list_of_lines_or_json) {
    EXPECT_THAT(read_refine_answer("- animals~birds~naming birds\n- town~road signs", candidates).kept,
                ElementsAre(1, 0, 0, 1));
    EXPECT_THAT(read_refine_answer(R"({"keep": ["food~fruit, fresh~counting fruit"]})", candidates).kept,
                ElementsAre(0, 0, 1, 0));
    EXPECT_THAT(read_refine_answer(R"({"keep": []})", candidates).problem, IsEmpty());
    EXPECT_THAT(read_refine_answer(R"(["None"])", candidates).problem, IsEmpty());
}

TEST(a_refinement, counts_labels_beside_none_as_a_contradiction) {
    const auto answer = read_refine_answer("[None, town~road signs]", candidates);
    EXPECT_THAT(answer.kept, ElementsAre(0, 0, 0, 1));
    EXPECT_EQ(answer.notes[Note::contradiction], 1);
}

TEST(a_refinement, that_is_empty_or_a_refusal_is_no_answer) {
    EXPECT_THAT(read_refine_answer("", candidates).problem, testing::Not(IsEmpty()));
    EXPECT_THAT(read_refine_answer("I'm sorry, but I can't help with that.", candidates).problem,
                testing::Not(IsEmpty()));
}

// --- generation

TEST(a_generation, is_a_json_object_a_line) {
    const auto answer = read_generate_answer(
        R"({"task_type": "animals~birds~naming birds", "question": "Which bird?", "answer": "A crow"}
{"task_type": "town~road signs", "question": "What must one do?", "answer": "Stop"})",
        types);
    ASSERT_EQ(answer.samples.size(), 2u);
    EXPECT_EQ(answer.samples[0], (QuestionAnswer{"Which bird?", "A crow"}));
    EXPECT_EQ(answer.samples[1], (QuestionAnswer{"What must one do?", "Stop"}));
    EXPECT_EQ(all_of(answer.notes), 0);
}

TEST(a_generation, may_be_an_array_a_wrapped_array_or_fenced) {
    const std::string object = R"({"task_type": "town~road signs", "question": "Q {1}?", "answer": "A \"}\""})";
    for (const auto& text : {"[" + object + "]", R"({"samples": [)" + object + "]}",
                             "Here you are:\n```json\n" + object + "\n```\nDone.", "```json\n[" + object + ",]\n```"}) {
        const auto answer = read_generate_answer(text, types);
        ASSERT_TRUE(answer.samples[1]) << text;
        EXPECT_EQ(*answer.samples[1], (QuestionAnswer{"Q {1}?", "A \"}\""})) << text;
        EXPECT_EQ(answer.notes[Note::left_out], 1);
    }
}

TEST(a_generation, mends_raw_line_breaks_and_trailing_commas) {
    const auto answer = read_generate_answer(
        "{\"task_type\": \"town~road signs\",\n\"question\": \"Two\nlines?\", \"answer\": \"yes\",}", types);
    ASSERT_TRUE(answer.samples[1]);
    EXPECT_EQ(answer.samples[1]->question, "Two\nlines?");
}

TEST(a_generation, that_is_cut_off_keeps_what_is_whole) {
    const auto answer =
        read_generate_answer(R"({"task_type": "animals~birds~naming birds", "question": "Which?", "answer": "A crow"}
{"task_type": "town~road signs", "question": "What mu)",
                             types);
    EXPECT_TRUE(answer.samples[0]);
    EXPECT_FALSE(answer.samples[1]);
    EXPECT_EQ(answer.notes[Note::broken_json], 1);
    EXPECT_THAT(answer.problem, IsEmpty());
}

TEST(a_generation, drops_wrong_labels_extra_samples_and_missing_or_empty_fields) {
    const auto answer = read_generate_answer(R"({"task_type": "space~planets", "question": "a", "answer": "b"}
{"task_type": "town~road signs", "question": "first", "answer": "1"}
{"task_type": "town~road signs", "question": "second", "answer": "2"}
{"task_type": "animals~birds~naming birds", "question": "no answer"}
{"task_type": "animals~birds~naming birds", "question": "", "answer": "x"}
{"question": "no type", "answer": "x"})",
                                             types);
    EXPECT_FALSE(answer.samples[0]);
    EXPECT_EQ(answer.samples[1]->question, "first");
    EXPECT_EQ(answer.notes[Note::unknown_label], 1);
    EXPECT_EQ(answer.notes[Note::extra_sample], 1);
    EXPECT_EQ(answer.notes[Note::missing_field], 2);
    EXPECT_EQ(answer.notes[Note::empty_field], 1);
    EXPECT_EQ(answer.notes[Note::left_out], 1);
}

TEST(a_generation, takes_other_field_names_and_answers_that_are_no_text) {
    const auto answer = read_generate_answer(
        R"([{"Task Type": "Town ~ Road Signs", "Question": "How many?", "Answer": 3}, {"type": "naming birds", )"
        R"("q": "Which?", "a": ["a crow", "a hen"]}])",
        types);
    ASSERT_TRUE(answer.samples[0] && answer.samples[1]);
    EXPECT_EQ(answer.samples[1]->answer, "3");
    EXPECT_EQ(answer.samples[0]->answer, "a crow, a hen");
    EXPECT_EQ(answer.notes[Note::relabelled], 2);
}

TEST(a_generation, needs_no_label_when_one_type_was_asked_for) {
    const auto answer = read_generate_answer(R"({"question": "Which?", "answer": "a crow"})", {"animals~birds"});
    ASSERT_TRUE(answer.samples[0]);
    EXPECT_EQ(answer.notes[Note::relabelled], 1);
}

TEST(a_generation, without_any_usable_object_says_why) {
    EXPECT_EQ(read_generate_answer("I cannot see the picture.", types).problem, "the answer holds no JSON object");
    EXPECT_THAT(read_generate_answer(R"({"task_type": "space", "question": "a", "answer": "b"})", types).problem,
                testing::HasSubstr("no object"));
    EXPECT_THAT(read_generate_answer("", types).problem, testing::Not(IsEmpty()));
}

// --- schemas

TEST(the_schemas, are_strict_json_whose_fields_come_in_the_order_of_thinking) {
    using nlohmann::ordered_json;
    for (const auto& text : {expand_schema(), refine_schema(candidates), generate_schema(types), judge_schema()}) {
        const auto schema = ordered_json::parse(text);
        EXPECT_EQ(schema["type"], "object");
        EXPECT_EQ(schema["additionalProperties"], false);
        EXPECT_EQ(schema["required"].size(), schema["properties"].size());
    }
    const auto sample = ordered_json::parse(generate_schema(types))["properties"]["samples"]["items"];
    EXPECT_THAT(sample["required"].get<std::vector<std::string>>(), ElementsAre("task_type", "question", "answer"));
    EXPECT_EQ(sample["properties"].begin().key(), "task_type");
    EXPECT_EQ(sample["properties"]["task_type"]["enum"], types);
}
