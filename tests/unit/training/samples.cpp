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
    const auto samples = tg::read_samples(written(scratch, R"([
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
    const auto read = [&](const char* text) { return [&scratch, text] { tg::read_samples(written(scratch, text)); }; };
    EXPECT_THAT(read("{}"), ThrowsMessage<tg::InputError>(HasSubstr("not a list")));
    EXPECT_THAT(read("[]"), ThrowsMessage<tg::InputError>(HasSubstr("holds no sample")));
    EXPECT_THAT(read("[{\"id\": \"a\""), ThrowsMessage<tg::InputError>(HasSubstr("data.json")));
    EXPECT_THAT(read(R"([{"id": "a", "conversations": []}])"), ThrowsMessage<tg::InputError>(HasSubstr("sample 0 (id a) has no question with an answer")));
    EXPECT_THAT(read(R"([{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "human", "value": "y"}]}])"), ThrowsMessage<tg::InputError>(HasSubstr("does not alternate")));
    EXPECT_THAT(read(R"([{"id": "a"}])"), ThrowsMessage<tg::InputError>(HasSubstr("no list `conversations`")));
}

TEST(InternVlJsonl, is_read_line_by_line_and_wrong_lines_are_named) {
    const tg::fixture::Scratch scratch("jsonl");
    const auto file = scratch.path() / "data.jsonl";
    const std::string good = R"({"id": 1, "image": ["a.png"], "conversations": [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "That"}], "length": 7})";
    std::ofstream(file) << good << "\n\n" << good;
    const auto samples = tg::read_samples(file);
    ASSERT_EQ(samples.size(), 2u);
    EXPECT_EQ(samples[1].image, "a.png");
    EXPECT_EQ(samples[1].turns[0].answer, "That");
    std::ofstream(file) << good << "\n" << good.substr(0, 40) << "\n";
    EXPECT_THAT([&] { tg::read_samples(file); }, ThrowsMessage<tg::InputError>(HasSubstr("data.jsonl:2")));
    std::ofstream(file) << "\n";
    EXPECT_THAT([&] { tg::read_samples(file); }, ThrowsMessage<tg::InputError>(HasSubstr("holds no sample")));
}

TEST(LlavaJson, of_hostile_hands_is_refused_or_cut_in_one_line) {
    const tg::fixture::Scratch scratch("json_hostile");
    const std::pair<const char*, const char*> wrong[] = {
        {R"([{"id": "a", "conversations": [{"from": "human", "value": 5}, {"from": "gpt", "value": "y"}]}])", "data.json"},
        {R"([{"id": "a", "conversations": [{"from": 1, "value": "x"}, {"from": "gpt", "value": "y"}]}])", "data.json"},
        {R"([{"id": "a", "conversations": ["x", "y"]}])", "data.json"},
        {R"([5])", "data.json"},
        {R"([{"id": "a", "image": ["x.png", "y.png"], "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}])", "not one path"},
        {R"([{"id": "a", "conversations": [{"from": "gpt", "value": "y"}]}])", "no question with an answer"},
        {"[{\"id\": \"\xff\xfe\"}]", "data.json"},
    };
    for (const auto& [text, said] : wrong) {
        try {
            tg::read_samples(written(scratch, text));
            ADD_FAILURE() << text << " was taken";
        } catch (const tg::InputError& error) {
            EXPECT_THAT(error.what(), HasSubstr(said)) << text;
            EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n"))) << text;
        }
    }
    // An answer of a million characters is cut like any other; words without end and no words at all are no harm.
    const auto parts = tg::VlmParts::describe(tg::fixture::model);
    for (const std::string& unit : {std::string("x"), std::string("ab "), std::string("\xE6\x9D\xB1")}) {
        std::string answer;
        while (answer.size() < 1'000'000) answer += unit;
        const auto samples = tg::read_samples(written(scratch, nlohmann::json::array({{{"id", "long"}, {"image", "x.png"}, {"conversations", {{{"from", "human"}, {"value", "<image>"}}, {{"from", "gpt"}, {"value", answer}}}}}}).dump()));
        const auto encoded = tg::encode_sample(samples[0], *parts, 1, 2048);
        EXPECT_TRUE(encoded.cut);
        EXPECT_TRUE(encoded.failure.empty());
        EXPECT_EQ(encoded.ids.size(), 2048u);
        EXPECT_GT(encoded.supervised(), 1000);
    }
    const auto samples = tg::read_samples(written(scratch, R"([{"id": "a", "conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": ""}]}])"));
    EXPECT_GT(tg::encode_sample(samples[0], *parts, 1, 2048).supervised(), 0);  // that the answer ends
}

TEST(EncodedSamples, show_a_picture_only_where_the_text_has_its_place) {
    const auto parts = tg::VlmParts::describe(tg::fixture::model);
    const auto silent = tg::encode_sample({"a", "x.png", {{"What is this?", "A cat"}}}, *parts, 1, 2048);
    EXPECT_TRUE(silent.image.empty());  // as LLaVA: no mark, no picture
    const auto shown = tg::encode_sample({"a", "x.png", {{"What <image> is this?", "A cat"}}}, *parts, 1, 2048);
    EXPECT_EQ(std::count(shown.ids.begin(), shown.ids.end(), tg::image_placeholder), 16);
    const auto tiled = tg::VlmParts::describe(fs::path(TG_SOURCE_DIR) / "tests/fixtures/internvl/tiny-internlm");
    const auto added = tg::encode_sample({"a", "x.png", {{"What is this?", "A cat"}}}, *tiled, 5, 2048);
    EXPECT_EQ(added.image, "x.png");  // as InternVL: the mark is put in front
    EXPECT_EQ(std::count(added.ids.begin(), added.ids.end(), tg::image_placeholder), 45);
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
