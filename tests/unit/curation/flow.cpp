#include "flow.hpp"

#include <cmath>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <algorithm>
#include <map>
#include <set>

#include "fake_asker.hpp"
#include "figures.hpp"
#include "shipped_prompts.hpp"
#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/text.hpp"

using namespace tg;
using namespace tg::curation;
using test::prompts;
using testing::Each;
using testing::ElementsAre;

namespace {

std::vector<std::string> paths() {
    std::vector<std::string> all;
    for (int i = 0; i < 40; ++i) all.push_back(fmt::format("field {}~type {}", i % 5, i));
    return all;
}

CurateSettings settings(int per_request = 10) {
    CurateSettings out;
    out.refine.candidates_per_request = per_request;
    out.screen.judges = {"a", "b", "c"};
    return out;
}

// A number that hangs on the request's content alone.
std::uint64_t luck(const llm::Request& request, std::string_view salt = {}) {
    return DigestHash{}(DigestBuilder().add(request.stage).add(request.item).add(request.endpoint).add(salt).finish());
}

std::vector<std::string> listed(const llm::Request& request) {
    std::vector<std::string> lines;
    for (const auto& line : split(request.user, '\n'))
        if (line.starts_with("field ")) lines.push_back(line);
    return lines;
}

// Keeps about a third of the candidates; fails now and then in each step.
std::string lively(const llm::Request& request) {
    if (luck(request) % 23 == 0) return "I am sorry.";
    if (request.stage == "refine") {
        std::vector<std::string> kept;
        for (const auto& type : listed(request))
            if (luck(request, type) % 3 == 0) kept.push_back(type);
        return kept.empty() ? "[None]" : fmt::format("[{}]", join(kept, ", "));
    }
    if (request.stage == "generate") {
        std::string text;
        for (const auto& type : listed(request))
            if (luck(request, type) % 11 != 0)
                text += fmt::format("{{\"task_type\": \"{}\", \"question\": \"what of {}?\", \"answer\": \"{}\"}}\n",
                                    type, type, luck(request, type) % 100);
        return text.empty() ? "none" : text;
    }
    return luck(request) % 4 == 0 ? "0" : "1";
}

struct Curated {
    std::vector<ImageResult> results;
    std::map<std::string, int> submitted;
    std::vector<std::string> keys;
    std::int64_t finished = 0;
};

Curated curate(const CurateSettings& with, const FakeAsker::Answer& answer, std::uint64_t order,
               std::size_t images = 60, std::int64_t k = 10, int stop_after = 0) {
    const auto all = paths();
    FakeAsker asker(answer, order);
    asker.stop_after = stop_after;
    FlowCounts counts;
    Curated run;
    CurationFlow flow(
        with, prompts(), [&](std::int64_t type) -> const std::string& { return all[static_cast<std::size_t>(type)]; },
        [](std::uint64_t) { return nullptr; }, asker, counts,
        [&](ImageResult&& result) { run.results.push_back(std::move(result)); });
    std::size_t next = 0;
    asker.run([&] {
        if (next == images) return false;
        ImageTask task{next, fmt::format("picture {}", next), {}, {}};
        for (std::int64_t i = 0; i < k; ++i) task.types.push_back((static_cast<std::int64_t>(next) * 7 + i) % 40);
        ++next;
        flow.start(std::move(task));
        return true;
    });
    std::sort(run.results.begin(), run.results.end(), [](const auto& a, const auto& b) { return a.image < b.image; });
    run.submitted = asker.submitted;
    run.keys = asker.keys;
    run.finished = counts.finished;
    return run;
}

std::string text_of(const Curated& run) {
    std::string text;
    for (const auto& result : run.results) {
        text += fmt::format("{} {}:", result.image, static_cast<int>(result.state));
        for (const auto& sample : result.samples) {
            text += fmt::format(" {} {} {} {} {} [", sample.type, sample.question, sample.answer, sample.kept,
                                static_cast<int>(sample.state));
            for (const auto vote : sample.votes) text += fmt::format("{} ", vote);
            text += "]";
        }
        for (const auto* notes : {&result.refine_notes, &result.generate_notes, &result.screen_notes})
            for (const auto count : notes->counts) text += fmt::format(" {}", count);
        text += "\n";
    }
    return text;
}

}  // namespace

TEST(a_verdict, counts_votes_and_leaves_open_what_missing_votes_could_turn) {
    EXPECT_TRUE(vote_result({1, 1, 0}, 2).kept);
    EXPECT_FALSE(vote_result({1, 0, 0}, 2).kept);
    EXPECT_EQ(vote_result({1, 0, 0}, 2).state, SampleState::fine);
    EXPECT_TRUE(vote_result({1, no_vote, 1}, 2).kept);
    EXPECT_EQ(vote_result({1, no_vote, 0}, 2).state, SampleState::judging_failed);
    EXPECT_EQ(vote_result({no_vote, 0, 0}, 2).state, SampleState::fine);
    EXPECT_TRUE(vote_result({}, 0).kept);  // no screening
}

TEST(the_flow, ends_every_image_once_and_gives_the_same_in_any_order) {
    const auto expected = curate(settings(), lively, 1);
    ASSERT_EQ(expected.results.size(), 60u);
    EXPECT_EQ(expected.finished, 60);
    const auto text = text_of(expected);
    for (const std::uint64_t order : {2, 3, 4, 5}) EXPECT_EQ(text_of(curate(settings(), lively, order)), text);
    // Everything that can happen did happen, or this test shows little.
    std::set<ImageState> states;
    std::set<SampleState> sample_states;
    for (const auto& result : expected.results) {
        states.insert(result.state);
        for (const auto& sample : result.samples) sample_states.insert(sample.state);
    }
    EXPECT_EQ(states.size(), 3u);
    EXPECT_EQ(sample_states.size(), 4u);
}

TEST(the_flow, asks_each_judge_about_each_sample_that_was_generated) {
    const auto run = curate(settings(), lively, 1);
    int generated = 0, kept_candidates = 0;
    for (const auto& result : run.results) {
        for (const auto flag : result.kept) kept_candidates += flag;
        EXPECT_EQ(result.samples.size(),
                  static_cast<std::size_t>(std::count(result.kept.begin(), result.kept.end(), 1)));
        for (const auto& sample : result.samples) {
            if (sample.question.empty()) {
                EXPECT_THAT(sample.votes, Each(no_vote));
            }
            generated += !sample.question.empty();
        }
    }
    EXPECT_GT(generated, 50);
    EXPECT_GT(kept_candidates, generated);
    EXPECT_EQ(run.submitted.at("refine"), 60);
    EXPECT_EQ(run.submitted.at("screen"), 3 * generated);
}

TEST(the_flow, asks_only_about_new_candidates_when_k_is_raised) {
    const auto few = curate(settings(5), lively, 1, 60, 10), many = curate(settings(5), lively, 1, 60, 20);
    const std::set<std::string> before(few.keys.begin(), few.keys.end()), after(many.keys.begin(), many.keys.end());
    EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()))
        << "a request of the smaller k is asked in other words for the larger one";
    EXPECT_GT(after.size(), before.size());
}

TEST(the_flow, asks_only_the_new_judge_when_one_is_changed) {
    auto other = settings();
    other.screen.judges = {"a", "b", "d"};
    const auto first = curate(settings(), lively, 1), second = curate(other, lively, 1);
    const std::set<std::string> before(first.keys.begin(), first.keys.end());
    for (const auto& key : second.keys) EXPECT_TRUE(before.contains(key) || key.starts_with("d|screen|")) << key;
}

TEST(the_flow, leaves_stopped_images_out) {
    const auto run = curate(settings(), lively, 1, 60, 10, 100);
    EXPECT_LT(run.results.size(), 60u);
    const auto whole = curate(settings(), lively, 1);
    for (const auto& result : run.results) {
        Curated one, other;
        one.results.push_back(result);
        other.results.push_back(whole.results[result.image]);
        EXPECT_EQ(text_of(one), text_of(other));
    }
}

TEST(the_flow, keeps_all_samples_where_nobody_judges) {
    auto unscreened = settings();
    unscreened.screen.judges.clear();
    unscreened.screen.keep_votes = 0;
    const auto run = curate(unscreened, lively, 1);
    for (const auto& result : run.results)
        for (const auto& sample : result.samples) EXPECT_EQ(sample.kept, !sample.question.empty());
}

// --- figures

namespace {
void add_votes(CurationFigures& figures, std::vector<std::uint8_t> votes, int times) {
    for (int i = 0; i < times; ++i) {
        const auto verdict = vote_result(votes, 2);
        figures.add_sample(verdict.state, verdict.kept, votes.data());
    }
}
}  // namespace

TEST(the_figures, hold_vote_patterns_and_pairwise_agreement) {
    CurationFigures figures({"a", "b", "c"}, {"field"});
    add_votes(figures, {1, 1, 1}, 4);
    add_votes(figures, {1, 1, 0}, 2);
    add_votes(figures, {0, 0, 0}, 3);
    add_votes(figures, {1, no_vote, 0}, 1);
    EXPECT_EQ(figures.votes_for(3), 4);
    EXPECT_EQ(figures.votes_for(2), 2);
    EXPECT_EQ(figures.votes_for(0), 3);
    EXPECT_EQ(figures.kept(), 6);
    EXPECT_EQ(figures.samples(SampleState::judging_failed), 1);
    EXPECT_DOUBLE_EQ(figures.agreement(0, 1), 1.0);
    EXPECT_DOUBLE_EQ(figures.agreement(0, 2), 7.0 / 10);
    EXPECT_DOUBLE_EQ(figures.agreement(1, 2), 7.0 / 9);
}

TEST(fleiss_kappa, is_what_its_definition_gives) {
    // Worked by hand: 10 samples, 3 judges. P = (4*1 + 3*1 + 3*(1/3)) / 10 = 0.8; yes = (12 + 6) / 30 = 0.6; P_e =
    // 0.52.
    CurationFigures figures({"a", "b", "c"}, {"field"});
    add_votes(figures, {1, 1, 1}, 4);
    add_votes(figures, {1, 0, 1}, 3);
    add_votes(figures, {0, 0, 0}, 3);
    EXPECT_NEAR(figures.fleiss_kappa(), (0.8 - 0.52) / (1 - 0.52), 1e-12);
    CurationFigures same({"a", "b"}, {"field"});
    EXPECT_TRUE(std::isnan(same.fleiss_kappa()));
    const std::uint8_t yes[] = {1, 1};
    same.add_sample(SampleState::fine, true, yes);
    EXPECT_DOUBLE_EQ(same.fleiss_kappa(), 1);
}

TEST(the_none_rate, counts_only_images_that_were_refined) {
    CurationFigures figures({}, {"field", "other"});
    for (int i = 0; i < 3; ++i) figures.add_image(ImageState::kept_some, 0);
    figures.add_image(ImageState::none, 1);
    figures.add_image(ImageState::failed, 1);
    figures.add_image(ImageState::unusable, -1);
    figures.add_image(ImageState::not_asked, 0);
    EXPECT_DOUBLE_EQ(figures.none_rate(), 0.25);
}
