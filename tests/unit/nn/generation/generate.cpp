// Answers of tiny models of every family against what transformers generated (tests/fixtures/{vlm,language,internvl}).
#include "taskgalaxy/nn/generation/generate.hpp"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

using nlohmann::json;
using tg::generation::generate;
using tg::generation::Options;
using tg::generation::Prompt;
using tg::models::VisionLanguageModel;
using tg::test::expected;
using tg::test::fixtures;
using tg::test::list;

// What `ids` say up to the first token that ends an answer.
std::string text_of(const VisionLanguageModel& model, std::vector<std::int64_t> ids) {
    const auto& ends = model.parts().ends;
    ids.erase(std::find_first_of(ids.begin(), ids.end(), ends.begin(), ends.end()), ids.end());
    return std::string(tg::trimmed(model.tokenizer().decode(ids)));
}

const VisionLanguageModel& llava() {
    static const auto the = VisionLanguageModel::load(fixtures("vlm") / "tiny-llava");
    return the;
}

TEST(TinyLlava, answers_greedily_as_transformers_does_whatever_the_batch) {
    const auto text = text_of(llava(), list(expected("vlm", "generated")));
    const auto conversations = json::parse(std::ifstream(fixtures("vlm") / "conversations.json"));
    const auto question = conversations[0]["turns"][0][0].get<std::string>();
    const auto pictures = expected("vlm", "pictures");
    Options options;
    options.max_new_tokens = 24;
    for (const int batch : {1, 2, 8}) {
        options.batch = batch;
        const std::vector<Prompt> prompts{{question, pictures[0]},
                                          {"What is this?", pictures[1]},
                                          {"Say something.", {}},
                                          {question, pictures[0]},
                                          {"And now?", pictures[2]}};
        const auto answers = generate(llava(), prompts, options);
        EXPECT_EQ(answers[0], text) << "batch " << batch;
        EXPECT_EQ(answers[3], text) << "batch " << batch;
        const auto alone = generate(llava(), std::span(prompts).subspan(1, 2), options);
        EXPECT_EQ(answers[1], alone[0]);
        EXPECT_EQ(answers[2], alone[1]);
    }
}

TEST(TinyLlava, refuses_a_picture_of_another_size) {
    EXPECT_THROW(generate(llava(), std::vector<Prompt>{{"What?", torch::zeros({3, 16, 16})}}), tg::InputError);
}

TEST(TinyLlava, refuses_a_prompt_that_is_longer_than_its_context) {
    const auto context = static_cast<int>(llava().parts().language.config.context);
    EXPECT_THAT(
        [&] {
            generate(llava(), std::vector<Prompt>{{"What?", {}}}, {.max_new_tokens = context});
        },
        testing::ThrowsMessage<tg::InputError>(
            testing::AllOf(testing::HasSubstr("prompt 0 takes"), testing::HasSubstr(std::to_string(context)))));
}

class LanguageModels : public testing::TestWithParam<std::string> {};

TEST_P(LanguageModels, answer_greedily_as_transformers_does) {
    const auto model = VisionLanguageModel::load(fixtures("language") / GetParam());
    const auto text = text_of(model, list(expected("language", GetParam() + ".answer")));
    Options options;
    options.max_new_tokens = 20;
    EXPECT_EQ(generate(model, std::vector<Prompt>{{"Which bird is it?", {}}}, options)[0], text);
    options.sampling.temperature = 0.8;
    const std::vector<Prompt> prompts(3, {"Which bird is it?", {}});
    EXPECT_EQ(generate(model, prompts, options), generate(model, prompts, options));
}

TEST_P(LanguageModels, have_no_eyes_for_a_picture) {
    const auto model = VisionLanguageModel::load(fixtures("language") / GetParam());
    EXPECT_THAT(
        [&] {
            generate(model, std::vector<Prompt>{{"What?", torch::zeros({3, 32, 32})}});
        },
        testing::ThrowsMessage<tg::InputError>(testing::HasSubstr("has no eyes")));
}

TEST_P(LanguageModels, answer_long_prompts_that_are_read_in_several_rows) {
    const auto model = VisionLanguageModel::load(fixtures("language") / GetParam());
    std::vector<tg::generation::TokenPrompt> prompts(7);
    for (std::int64_t p = 0; p < 7; ++p)
        for (std::int64_t i = 0; i < 500; ++i)
            prompts[static_cast<std::size_t>(p)].ids.push_back(4 + (7 * p + 13 * i + p * i) % 250);
    const Options options{.max_new_tokens = 6};
    std::size_t told = 0;
    const auto together =
        tg::generation::answer_tokens(model.parts(), prompts, options, [&](std::size_t, std::int64_t) { ++told; });
    std::size_t tokens = 0;
    for (std::size_t p = 0; p < prompts.size(); ++p) {
        const auto alone = tg::generation::answer_tokens(model.parts(), std::span(prompts).subspan(p, 1), options);
        EXPECT_EQ(together[p], alone[0]) << p;
        tokens += together[p].size();
    }
    EXPECT_EQ(told, tokens);
    EXPECT_GT(tokens, 0u);
}

INSTANTIATE_TEST_SUITE_P(Families, LanguageModels, testing::Values("tiny-qwen2", "tiny-smol"),
                         [](const auto& family) { return family.param.substr(5); });

TEST(InternVl, speaks_of_a_picture_of_three_tiles_as_transformers_does) {
    for (const std::string name : {"hf", "internlm"}) {
        const auto model = VisionLanguageModel::load(fixtures("internvl") / ("tiny-" + name));
        const auto pixels = expected("internvl", name + (name == "hf" ? ".pixels" : ".pictures")).slice(0, 0, 3);
        std::string told;
        const Options options{.max_new_tokens = 16, .on_text = [&](std::size_t prompt, std::string_view text) {
                                  EXPECT_EQ(prompt, 0u);
                                  told += text;
                              }};
        const auto answer = generate(model, std::vector<Prompt>{{"What is it?", pixels, {}}}, options).front();
        EXPECT_EQ(answer, text_of(model, list(expected("internvl", name + ".answer"))));
        EXPECT_THAT(told, testing::HasSubstr(answer));
    }
}

TEST(InternVlChatV1, speaks_as_transformers_does) {
    const auto model = VisionLanguageModel::load(fixtures("internvl") / "tiny-v1");
    const auto pixels = expected("internvl", "v1.small").repeat_interleave(28, 1).repeat_interleave(28, 2);
    EXPECT_EQ(generate(model, std::vector<Prompt>{{"What is it?", pixels, {}}}, {.max_new_tokens = 12}).front(),
              text_of(model, list(expected("internvl", "v1.answer"))));
}

}  // namespace
