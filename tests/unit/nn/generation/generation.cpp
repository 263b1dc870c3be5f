// The contract of Generation on a tiny LLaVA: whoever comes and goes beside it, an answer stays the same.
#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/nn/generation/generation.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

using tg::generation::Generation;
using tg::generation::Progress;
using tg::generation::Request;
using Ids = std::vector<std::int64_t>;
using Answers = std::map<std::uint64_t, Ids>;

constexpr std::int64_t room = 96;

const tg::models::VlmParts& parts() {
    static const auto model = tg::models::VisionLanguageModel::load(tg::test::fixtures("vlm") / "tiny-llava");
    return model.parts();
}

std::size_t below(std::uint64_t& state, std::size_t limit) { return (state = tg::mix64(state)) % limit; }

// Prompts of 1 to 40 words of the vocabulary, a third of them with a picture, answers of 1 to 20 tokens.
std::vector<Request> generated(std::size_t count, std::uint64_t seed, double temperature = 0) {
    std::vector<Request> requests(count);
    const auto pictures = tg::test::expected("vlm", "pictures");
    for (std::size_t i = 0; i < count; ++i) {
        auto& request = requests[i];
        request.key = 100 + i;
        request.max_new_tokens = static_cast<int>(1 + below(seed, 20));
        request.sampling = {.temperature = temperature, .top_p = 0.95, .seed = 7};
        request.prompt.ids.push_back(1);
        for (auto words = below(seed, 40); words-- > 0;)
            request.prompt.ids.push_back(4 + static_cast<std::int64_t>(below(seed, 600)));
        if (below(seed, 3) > 0) continue;
        request.prompt.pixels =
            pictures.slice(0, static_cast<std::int64_t>(i % 3), static_cast<std::int64_t>(i % 3 + 1));
        request.prompt.ids.insert(request.prompt.ids.begin() + 1, static_cast<std::size_t>(parts().image_positions()),
                                  tg::text::image_placeholder);
    }
    return requests;
}

void take(const std::vector<Progress>& told, Answers& answers) {
    for (const auto& [key, token, finished] : told) {
        auto& answer = answers[key];
        if (token) answer.push_back(*token);
        EXPECT_TRUE(token || finished) << "only an end has no token";
    }
}

Answers one_by_one(const std::vector<Request>& requests) {
    Answers answers;
    for (const auto& request : requests) {
        Generation alone(parts(), 1, room);
        take(alone.admit({&request, 1}), answers);
        while (alone.in_flight() > 0) take(alone.step(), answers);
    }
    return answers;
}

TEST(Generation, answers_the_same_however_many_are_admitted_at_once) {
    const auto requests = generated(24, 1);
    const auto wanted = one_by_one(requests);
    for (const std::size_t slots : {1, 2, 5, 24}) {
        Generation generation(parts(), slots, room);
        Answers answers;
        for (std::size_t next = 0; next < requests.size() || generation.in_flight() > 0;) {
            const auto row = std::min(generation.free_slots(), requests.size() - next);
            take(row > 0 ? generation.admit(std::span(requests).subspan(next, row)) : generation.step(), answers);
            next += row;
        }
        EXPECT_EQ(answers, wanted) << slots << " slots";
    }
}

TEST(Generation, answers_the_same_whatever_the_order_and_the_company) {
    for (const double temperature : {0.0, 1.0}) {
        const auto requests = generated(24, 2, temperature);
        const auto wanted = one_by_one(requests);
        for (std::uint64_t schedule = 1; schedule <= 8; ++schedule) {
            auto state = schedule;
            auto waiting = requests;
            std::ranges::sort(waiting, {}, [&](const Request& r) { return tg::mix64(r.key ^ schedule); });
            Generation generation(parts(), 1 + below(state, 9), room);
            Answers answers;
            while (!waiting.empty() || generation.in_flight() > 0) {
                const auto most = std::min(generation.free_slots(), waiting.size());
                const auto row = most > 0 ? below(state, most + 1) : 0;
                take(row > 0 ? generation.admit(std::span(waiting).first(row)) : generation.step(), answers);
                waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(row));
            }
            EXPECT_EQ(answers, wanted) << "schedule " << schedule << ", temperature " << temperature;
        }
    }
}

TEST(Generation, tells_a_token_a_step_of_every_answer_in_the_order_of_admission) {
    auto requests = generated(3, 3);
    for (auto& request : requests) request.max_new_tokens = 20;
    Generation generation(parts(), 3, room);
    const auto keys = [](const std::vector<Progress>& told) {
        std::vector<std::uint64_t> all;
        for (const auto& row : told) all.push_back(row.key);
        return all;
    };
    EXPECT_THAT(keys(generation.admit(std::span(requests).first(1))), testing::ElementsAre(100));
    EXPECT_THAT(keys(generation.step()), testing::ElementsAre(100));
    EXPECT_THAT(keys(generation.admit(std::span(requests).last(2))), testing::ElementsAre(101, 102));
    ASSERT_EQ(generation.in_flight(), 3u) << "an answer ended too early for this test";
    EXPECT_THAT(keys(generation.step()), testing::ElementsAre(100, 101, 102));
}

TEST(Generation, ends_at_the_end_token_or_at_the_most_tokens_and_frees_the_slot) {
    auto request = generated(1, 4).front();
    request.max_new_tokens = 12;
    const auto whole = one_by_one({request}).at(request.key);
    ASSERT_EQ(whole.size(), 12u);
    request.max_new_tokens = 1;
    Generation generation(parts(), 1, room);
    const auto told = generation.admit({&request, 1});
    ASSERT_EQ(told.size(), 1u);
    EXPECT_TRUE(told[0].finished);
    EXPECT_EQ(told[0].token, whole[0]);
    EXPECT_EQ(generation.free_slots(), 1u);
    EXPECT_TRUE(generation.step().empty());

    // The same model, had it called the first other token of this answer its end.
    const auto end = std::find_if(whole.begin(), whole.end(), [&](std::int64_t id) { return id != whole[0]; });
    ASSERT_NE(end, whole.end());
    auto ending = tg::models::VisionLanguageModel::load(tg::test::fixtures("vlm") / "tiny-llava");
    ending.parts().ends.push_back(*end);
    request.max_new_tokens = 12;
    Generation until_end(ending.parts(), 1, room);
    Answers answers;
    take(until_end.admit({&request, 1}), answers);
    while (until_end.in_flight() > 0) take(until_end.step(), answers);
    EXPECT_EQ(answers.at(request.key), Ids(whole.begin(), end));
    EXPECT_EQ(until_end.free_slots(), 1u);
}

TEST(Generation, cancels_one_answer_and_leaves_the_others_as_they_were) {
    auto requests = generated(4, 5);
    for (auto& request : requests) request.max_new_tokens = 15;
    const auto wanted = one_by_one(requests);
    Generation generation(parts(), 3, room);
    Answers answers;
    take(generation.admit(std::span(requests).first(3)), answers);
    take(generation.step(), answers);
    EXPECT_TRUE(generation.cancel(101));
    EXPECT_FALSE(generation.cancel(101));
    EXPECT_EQ(generation.free_slots(), 1u);
    take(generation.admit(std::span(requests).last(1)), answers);  // into the slot that 101 had begun to fill
    while (generation.in_flight() > 0) take(generation.step(), answers);
    for (const auto key : {100u, 102u, 103u}) EXPECT_EQ(answers.at(key), wanted.at(key)) << key;
    EXPECT_EQ(answers.at(101), Ids(wanted.at(101).begin(), wanted.at(101).begin() + 2));
    EXPECT_EQ(generation.free_slots(), 3u);
}

TEST(Generation, refuses_what_is_longer_than_the_room_in_one_line_and_takes_none_of_its_row) {
    auto requests = generated(2, 6);
    requests[1].prompt = {.ids = std::vector<std::int64_t>(static_cast<std::size_t>(room), 5)};
    Generation generation(parts(), 2, room);
    const auto message = [&] {
        try {
            generation.admit(requests);
        } catch (const tg::InputError& error) {
            return std::string(error.what());
        }
        return std::string("taken");
    };
    EXPECT_THAT(message(), testing::AllOf(testing::HasSubstr("prompt 101 takes 96 positions"),
                                          testing::HasSubstr("room for 96"), testing::Not(testing::HasSubstr("\n"))));
    requests[1].prompt.ids.resize(3);
    requests[1].max_new_tokens = 0;
    EXPECT_THAT(message(), testing::HasSubstr("prompt 101: an answer of up to 0 tokens is none"));
    EXPECT_EQ(generation.in_flight(), 0u);
    EXPECT_EQ(generation.free_slots(), 2u);

    // The last position of the room is used.
    requests[1].max_new_tokens = 20;
    requests[1].prompt.ids.assign(static_cast<std::size_t>(room) - 20, 5);
    Answers answers;
    take(generation.admit(requests), answers);
    while (generation.in_flight() > 0) take(generation.step(), answers);
    EXPECT_EQ(answers, one_by_one(requests));
}

TEST(Generation, takes_a_mistake_of_its_caller_for_one) {
    auto requests = generated(3, 7);
    for (auto& request : requests) request.max_new_tokens = 20;
    Generation generation(parts(), 2, room);
    EXPECT_THROW(generation.admit(requests), std::logic_error);  // three prompts, two slots
    generation.admit(std::span(requests).first(1));
    EXPECT_THROW(generation.admit(std::span(requests).first(1)), std::logic_error);  // a key that is in flight
    requests[1].prompt = {.ids = {1, 2}, .pixels = tg::test::expected("vlm", "pictures").slice(0, 0, 1)};
    EXPECT_THROW(generation.admit(std::span(requests).subspan(1, 1)), std::logic_error);  // no place for its picture
    requests[1].prompt = {};
    EXPECT_THROW(generation.admit(std::span(requests).subspan(1, 1)), std::logic_error);
    EXPECT_EQ(generation.in_flight(), 1u);
}

}  // namespace
