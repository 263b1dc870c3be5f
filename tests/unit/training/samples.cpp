#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "schedule.hpp"
#include "taskgalaxy/core/error.hpp"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

fs::path written(const tg::fixture::Scratch& scratch, const std::string& text) {
    const auto file = scratch.path() / "data.json";
    std::ofstream(file) << text;
    return file;
}

TEST(LlavaJson, is_read_with_its_marks_and_a_leading_answer_dropped) {
    const tg::fixture::Scratch scratch("json");
    const auto samples = tg::read_llava_json(written(scratch, R"([
        {"id": "a", "image": "x/y.png", "conversations": [{"from": "human", "value": "What is <image> this?"}, {"from": "gpt", "value": "A cat."}]},
        {"id": 7, "conversations": [{"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Hi <image>"}, {"from": "gpt", "value": "Yes"}]}])"));
    ASSERT_EQ(samples.size(), 2u);
    EXPECT_EQ(samples[0].image, "x/y.png");
    EXPECT_EQ(samples[0].turns[0].question, "What is <image> this?");
    EXPECT_EQ(samples[1].id, "7");
    ASSERT_EQ(samples[1].turns.size(), 1u);
    EXPECT_EQ(samples[1].turns[0].question, "Hi <image>");
}

TEST(LlavaJson, that_is_wrong_is_refused_by_the_sample) {
    const tg::fixture::Scratch scratch("json_bad");
    const auto read = [&](const char* text) { return [&scratch, text] { tg::read_llava_json(written(scratch, text)); }; };
    EXPECT_THAT(read("{}"), ThrowsMessage<tg::InputError>(HasSubstr("not a list")));
    EXPECT_THAT(read("[]"), ThrowsMessage<tg::InputError>(HasSubstr("holds no sample")));
    EXPECT_THAT(read("[{\"id\": \"a\""), ThrowsMessage<tg::InputError>(HasSubstr("data.json")));
    EXPECT_THAT(read(R"([{"id": "a", "conversations": []}])"), ThrowsMessage<tg::InputError>(HasSubstr("sample 0 (id a) has no question with an answer")));
    EXPECT_THAT(read(R"([{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "human", "value": "y"}]}])"), ThrowsMessage<tg::InputError>(HasSubstr("does not alternate")));
    EXPECT_THAT(read(R"([{"id": "a"}])"), ThrowsMessage<tg::InputError>(HasSubstr("no list `conversations`")));
}

TEST(StepOrder, takes_every_sample_once_an_epoch_and_is_found_again_at_any_step) {
    tg::StepOrder order(103, 8, 5);
    ASSERT_EQ(order.steps_per_epoch(), 13u);
    std::vector<std::vector<std::uint64_t>> epochs(2);
    for (std::uint64_t step = 0; step < 26; ++step) {
        const auto batch = order.step(step);
        EXPECT_EQ(batch, tg::StepOrder(103, 8, 5).step(step));
        auto& epoch = epochs[order.epoch_of(step)];
        epoch.insert(epoch.end(), batch.begin(), batch.end());
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(tg::StepOrder(103, 8, 6).step(0), order.step(0));
    for (auto& epoch : epochs) {
        std::sort(epoch.begin(), epoch.end());
        ASSERT_EQ(epoch.size(), 103u);
        for (std::uint64_t i = 0; i < 103; ++i) EXPECT_EQ(epoch[i], i);
    }
}

TEST(Schedule, warms_up_from_zero_and_falls_to_zero) {
    const tg::Schedule schedule{2e-5, 0.03, 5198};
    EXPECT_EQ(schedule.warmup_steps(), 156);
    EXPECT_EQ(schedule.rate(0), 0);
    EXPECT_NEAR(schedule.rate(1), 1.28e-7, 1e-9);
    EXPECT_EQ(schedule.rate(156), 2e-5);
    EXPECT_NEAR(schedule.rate(5197), 0, 1e-11);
}

TEST(Schedule, is_the_one_of_the_reference) {
    const auto rates = tg::fixture::expected("sft.lr");
    const tg::Schedule schedule{2e-3, 0.15, 20};
    for (std::int64_t step = 0; step < 20; ++step) EXPECT_NEAR(schedule.rate(step), rates[step].item<double>(), 1e-15);
}

TEST(EncodedSamples, are_cut_behind_the_picture_and_fail_where_it_does_not_fit) {
    const auto parts = tg::VlmParts::describe(tg::fixture::model);
    const auto whole = tg::fixture::sample(*parts, 0, 4096);
    EXPECT_FALSE(whole.cut);
    EXPECT_EQ(std::count(whole.ids.begin(), whole.ids.end(), tg::image_placeholder), 16);
    EXPECT_EQ(whole.labels.size(), whole.ids.size());
    const auto first = std::find(whole.ids.begin(), whole.ids.end(), tg::image_placeholder) - whole.ids.begin();
    const auto cut = tg::fixture::sample(*parts, 0, first + 17);
    EXPECT_TRUE(cut.cut);
    EXPECT_TRUE(cut.failure.empty());
    EXPECT_EQ(cut.ids.size(), static_cast<std::size_t>(first + 17));
    EXPECT_EQ(cut.labels.back(), tg::ignored_label);
    const auto broken = tg::fixture::sample(*parts, 0, first + 5);
    EXPECT_THAT(broken.failure, HasSubstr("does not fit"));
    EXPECT_EQ(broken.supervised(), 0);
}

}  // namespace
