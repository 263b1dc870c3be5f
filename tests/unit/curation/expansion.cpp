#include "expansion.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_asker.hpp"
#include "shipped_prompts.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

using namespace tg;
using namespace tg::curation;
using test::prompts;
using testing::ElementsAre;

namespace {

ExpandSettings small() {
    ExpandSettings settings;
    settings.level1_target = 4, settings.level2_target = 12, settings.level3_target = 24;
    settings.names_per_request = 3, settings.duplicate_similarity = 2;
    return settings;
}

// Each parent has five children; what exists already is repeated first, as models do.
std::string five_children(const llm::Request& request) {
    // "level 2 of PARENT, round 1"
    const auto of = request.item.find(" of ");
    const auto parent =
        of == std::string::npos ? std::string() : request.item.substr(of + 4, request.item.rfind(", round") - of - 4);
    std::string text;
    for (int i = 0; i < 5; ++i)
        text += fmt::format("{}{}{} {}\n", parent, parent.empty() ? "" : "~",
                            parent.empty() ? "field" : taxonomy::last_name(parent), static_cast<char>('a' + i));
    return text;
}

}  // namespace

TEST(expansion, fills_each_level_to_its_target) {
    FakeAsker asker(five_children);
    const auto grown =
        expand_taxonomy({"seed one", "seed two"}, small(), prompts(), taxonomy::lexical_embedder(), asker);
    const auto counts = grown.taxonomy.level_counts();
    EXPECT_EQ(counts[0], 7u);  // one request brought five
    EXPECT_GE(counts[1], 12u);
    EXPECT_GE(counts[2], 24u);
    EXPECT_EQ(grown.report.failed, 0);
    EXPECT_EQ(grown.report.requests, asker.submitted["expand"]);
    EXPECT_THAT(grown.report.rounds, ElementsAre(1, 1, 1));
}

TEST(expansion, depends_on_the_answers_and_not_on_their_order) {
    FakeAsker first(five_children, 1), second(five_children, 77);
    second.queued = 1000;
    const auto a = expand_taxonomy({"seed one", "seed two"}, small(), prompts(), taxonomy::lexical_embedder(), first);
    const auto b = expand_taxonomy({"seed one", "seed two"}, small(), prompts(), taxonomy::lexical_embedder(), second);
    EXPECT_EQ(a.taxonomy.as_text(), b.taxonomy.as_text());
}

TEST(expansion, stops_asking_parents_that_have_nothing_new) {
    auto settings = small();
    settings.level1_target = 2, settings.level2_target = 100, settings.level3_target = 0;
    FakeAsker asker([](const llm::Request& request) {
        return request.item.find("seed one") != std::string::npos ? std::string("None") : five_children(request);
    });
    const auto grown =
        expand_taxonomy({"seed one", "seed two"}, settings, prompts(), taxonomy::lexical_embedder(), asker);
    EXPECT_EQ(grown.taxonomy.level_counts()[1], 5u);
    EXPECT_EQ(asker.submitted["expand"], 3);  // both once, and once more the one that had something: it repeats itself
    EXPECT_EQ(grown.report.exhausted[1], 2);
    EXPECT_EQ(grown.report.notes[Note::known_path], 5);
    EXPECT_TRUE(grown.taxonomy.leaf(*grown.taxonomy.find("seed one")));
}

TEST(expansion, drops_near_duplicates_and_says_of_what) {
    auto settings = small();
    settings.level1_target = 4, settings.level2_target = 0, settings.level3_target = 0,
    settings.duplicate_similarity = 0.8;
    FakeAsker asker([](const llm::Request&) { return std::string("weather map readings\nmenu reading\n"); });
    const auto grown =
        expand_taxonomy({"weather map reading", "x"}, settings, prompts(), taxonomy::lexical_embedder(), asker);
    EXPECT_FALSE(grown.taxonomy.find("weather map readings"));
    ASSERT_FALSE(grown.report.dropped.empty());
    EXPECT_EQ(grown.report.dropped[0].text, "weather map readings");
    EXPECT_EQ(grown.report.dropped[0].other, "weather map reading");
    EXPECT_FALSE(grown.report.nearest.empty());
}

TEST(expansion, counts_failed_parents_and_goes_on) {
    auto settings = small();
    settings.level1_target = 2, settings.level3_target = 0;
    FakeAsker asker([](const llm::Request& request) {
        return request.item.find("seed one") != std::string::npos ? std::string("I cannot help with that.")
                                                                  : five_children(request);
    });
    const auto grown =
        expand_taxonomy({"seed one", "seed two"}, settings, prompts(), taxonomy::lexical_embedder(), asker);
    EXPECT_EQ(grown.report.failed, 1);
    EXPECT_EQ(grown.taxonomy.level_counts()[1], 5u);
}

TEST(expansion, that_is_stopped_says_so) {
    FakeAsker asker(five_children);
    asker.stop_after = 2;
    EXPECT_THROW(expand_taxonomy({"seed one", "seed two"}, small(), prompts(), taxonomy::lexical_embedder(), asker),
                 Stopped);
    EXPECT_NO_THROW(llm::throw_if_ended_early(llm::RunEnd::finished, "expand"));
    try {
        llm::throw_if_ended_early(llm::RunEnd::budget, "expand");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::done);
    }
}

TEST(the_prompts, hold_what_is_asked_about) {
    const auto text = prompts().expand("animals~birds", {"animals~birds~crows"}, 7);
    EXPECT_THAT(text, testing::AllOf(testing::HasSubstr("\nanimals~birds\n"),
                                     testing::HasSubstr("\nanimals~birds~crows\n"), testing::HasSubstr("7 further")));
    EXPECT_THAT(prompts().expand("animals", {}, 7), testing::HasSubstr("(none yet)"));
    EXPECT_THAT(
        prompts().judge("a~b", "Why {this}?", "Because."),
        testing::AllOf(testing::HasSubstr("a~b"), testing::HasSubstr("Why {this}?"), testing::HasSubstr("Because.")));
    EXPECT_THAT(prompts().generate({"a~b", "c~d"}),
                testing::AllOf(testing::HasSubstr("a~b\nc~d"), testing::HasSubstr("{\"task_type\"")));
}

TEST(a_prompt_folder, with_a_missing_file_or_placeholder_is_refused) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "prompts";
    std::filesystem::remove_all(folder);
    std::filesystem::copy(TG_SOURCE_DIR "/inputs/prompts", folder);
    std::ofstream(folder / "judge.txt") << "Question: {question} Answer: {answer}";
    EXPECT_THROW(Prompts{folder}, UsageError);
    std::ofstream(folder / "judge.txt") << "{task_type} {question} {answer} {score}";
    EXPECT_THROW(Prompts{folder}, UsageError);
    std::filesystem::remove(folder / "judge.txt");
    EXPECT_THROW(Prompts{folder}, InputError);
}
