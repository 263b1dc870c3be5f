// Language models and byte-level tokenizers against transformers and tokenizers (tests/fixtures/language/make.py).
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::ThrowsMessage;
using tg::test::expected;
using tg::test::fixtures;
using tg::test::list;
using torch::Tensor;

class LanguageModels : public testing::TestWithParam<std::string> {};

TEST_P(LanguageModels, tokenize_as_the_tokenizers_library_and_give_the_text_back) {
    const auto tokenizer = tg::text::make_language_tokenizer(fixtures("language") / GetParam());
    const auto all = json::parse(std::ifstream(fixtures("language") / "tokens.json"));
    ASSERT_GE(all["texts"].size(), 200u);
    for (std::size_t i = 0; i < all["texts"].size(); ++i) {
        const auto text = all["texts"][i].get<std::string>();
        ASSERT_EQ(tokenizer->encode(text), all[GetParam()][i].get<std::vector<std::int64_t>>()) << text;
        const bool plain = text.find("<|") == std::string::npos && text.find("e\u0301") == std::string::npos;
        if (plain) {
            EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
        }
        for (const auto& token : tokenizer->tokenize(text)) EXPECT_LE(token.begin, token.end);
    }
}

TEST_P(LanguageModels, give_the_logits_loss_and_gradients_of_transformers) {
    const torch::NoGradGuard no_grad;
    const auto model = tg::models::VisionLanguageModel::load(fixtures("language") / GetParam());
    auto& parts = model.parts();
    auto& language = parts.language;
    for (auto* unit : parts.units())
        for (auto& parameter : unit->parameters) parameter.grad = torch::zeros(parameter.shape);
    const auto ids = expected("language", GetParam() + ".ids");
    const auto T = ids.numel();
    const auto packing = language.pack({0, T});
    std::vector<Tensor> inputs{language.embed(ids)};
    std::vector<tg::models::DecoderLayer::Kept> kept(language.layers.size());
    for (std::size_t i = 0; i < kept.size(); ++i)
        inputs.push_back(language.layers[i].forward(inputs[i], packing, &kept[i]));
    EXPECT_LT(
        (language.logits(inputs.back()) - expected("language", GetParam() + ".logits")).abs().max().item<double>(),
        1e-4);

    auto labels = torch::full({T}, tg::text::ignored_label, torch::kInt64);
    labels.slice(0, 4, T - 1).copy_(ids.slice(0, 5, T));
    const auto n = static_cast<double>(T - 5);
    auto sums = language.loss(inputs.back(), labels, 1.0 / n, 4);
    EXPECT_EQ(sums.tokens, T - 5);
    EXPECT_NEAR(sums.loss / n, expected("language", GetParam() + ".loss").item<double>(), 1e-4);
    auto d = sums.d_hidden;
    for (std::size_t i = kept.size(); i-- > 0;) d = language.layers[i].backward(d, inputs[i], packing, kept[i]);
    language.embed_backward(ids, d);
    double squares = 0;
    for (const auto* unit : parts.units())
        for (const auto& parameter : unit->parameters) squares += parameter.grad.square().sum().item<double>();
    const auto norm = expected("language", GetParam() + ".norm").item<double>();
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-4 * norm);
    if (GetParam() == "tiny-qwen2") {
        const auto& bias = language.layers[1].unit().parameters[2];
        EXPECT_LT((bias.rows_of(bias.grad, 1) - expected("language", "tiny-qwen2.k_bias")).abs().max().item<double>(),
                  1e-4);
    }
}

TEST_P(LanguageModels, in_bf16_stay_near_fp32_forward_and_backward) {
    const torch::NoGradGuard no_grad;
    const auto ids = expected("language", GetParam() + ".ids");
    const auto T = ids.numel();
    auto labels = torch::full({T}, tg::text::ignored_label, torch::kInt64);
    labels.slice(0, 0, T - 1).copy_(ids.slice(0, 1, T));
    std::vector<double> losses;
    std::vector<Tensor> gradients;
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
        const auto model = tg::models::VisionLanguageModel::load(fixtures("language") / GetParam(), torch::kCPU, dtype);
        auto& language = model.parts().language;
        for (auto* unit : model.parts().units())
            for (auto& parameter : unit->parameters) parameter.grad = torch::zeros(parameter.shape);
        const auto packing = language.pack({0, T});
        const auto x = language.embed(ids);
        tg::models::DecoderLayer::Kept kept;
        const auto sums =
            language.loss(language.layers[0].forward(x, packing, &kept), labels, 1.0 / static_cast<double>(T));
        losses.push_back(sums.loss / static_cast<double>(T));
        gradients.push_back(language.layers[0].backward(sums.d_hidden, x, packing, kept).to(torch::kFloat32));
        gradients.push_back(language.layers[0].unit().parameters[1].grad);
    }
    EXPECT_NEAR(losses[1], losses[0], 0.01 * losses[0]);
    for (int i : {0, 1}) {
        const auto apart =
            (gradients[static_cast<std::size_t>(i) + 2] - gradients[static_cast<std::size_t>(i)]).norm() /
            gradients[static_cast<std::size_t>(i)].norm();
        EXPECT_GT(apart.item<double>(), 0) << "it was computed in another format";
        EXPECT_LT(apart.item<double>(), 0.05);
    }
}

INSTANTIATE_TEST_SUITE_P(Families, LanguageModels, testing::Values("tiny-qwen2", "tiny-smol"),
                         [](const auto& family) { return family.param.substr(5); });

TEST(ByteBpe, that_is_broken_is_refused_with_its_place) {
    const auto folder = fs::temp_directory_path() / ("tg_bpe_" + std::to_string(::getpid()));
    fs::create_directories(folder);
    const auto good = json::parse(std::ifstream(fixtures("language") / "tiny-smol/tokenizer.json"));
    fs::copy_file(fixtures("language") / "tiny-smol/tokenizer_config.json", folder / "tokenizer_config.json",
                  fs::copy_options::overwrite_existing);
    const auto refused = [&](auto change) {
        auto tokenizer = good;
        change(tokenizer);
        std::ofstream(folder / "tokenizer.json") << tokenizer;
        return [&folder] { tg::text::make_language_tokenizer(folder); };
    };
    EXPECT_THAT(refused([](json& t) { t["model"]["merges"][3] = "one two three"; }),
                ThrowsMessage<tg::InputError>(HasSubstr("merge 3 is not a pair")));
    EXPECT_THAT(refused([](json& t) {
                    t["model"]["merges"][5] = json::array({"nothing", "known"});
                }),
                ThrowsMessage<tg::InputError>(HasSubstr("merge 5")));
    EXPECT_THAT(refused([](json& t) { t["model"]["merges"][5] = 7; }),
                ThrowsMessage<tg::InputError>(HasSubstr("tokenizer.json")));
    EXPECT_THAT(refused([](json& t) { t["model"]["vocab"]["a"] = -4; }),
                ThrowsMessage<tg::InputError>(HasSubstr("id -4")));
    EXPECT_THAT(refused([](json& t) {
                    t["normalizer"] = {{"type", "NFKC"}};
                }),
                ThrowsMessage<tg::InputError>(HasSubstr("normalizer NFKC")));
    EXPECT_THAT(refused([](json& t) {
                    t["pre_tokenizer"] = {{"type", "Whitespace"}};
                }),
                ThrowsMessage<tg::InputError>(HasSubstr("Whitespace")));
    EXPECT_THAT(refused([](json& t) {
                    t["pre_tokenizer"] = {{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", "(("}}}};
                }),
                ThrowsMessage<tg::InputError>(HasSubstr("the pattern (( is wrong at character 2")));
    EXPECT_THAT(refused([](json& t) { t.erase("model"); }), ThrowsMessage<tg::InputError>(HasSubstr("model")));
    std::ofstream(folder / "tokenizer.json") << "{\"model\": ";
    EXPECT_THAT([&] { tg::text::make_language_tokenizer(folder); },
                ThrowsMessage<tg::InputError>(HasSubstr("tokenizer.json")));
    fs::remove_all(folder);
}

TEST(LanguageConfig, refuses_what_it_does_not_compute) {
    const auto read = [](const char* text) {
        return [text] { tg::models::LanguageConfig::read(json::parse(text), "config.json"); };
    };
    EXPECT_THAT(read(R"({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}})"),
                ThrowsMessage<tg::InputError>(HasSubstr("rope_scaling.rope_type = linear")));
    EXPECT_THAT(read(R"({"model_type": "llama", "hidden_act": "gelu"})"),
                ThrowsMessage<tg::InputError>(HasSubstr("hidden_act = gelu")));
    EXPECT_THAT(read(R"({"model_type": "llama", "attention_bias": true})"),
                ThrowsMessage<tg::InputError>(HasSubstr("attention_bias")));
    EXPECT_THAT(read(R"({"model_type": "gpt2"})"), ThrowsMessage<tg::InputError>(HasSubstr("model_type = gpt2")));
    EXPECT_THAT(read(R"({"num_attention_heads": 6, "num_key_value_heads": 4})"),
                ThrowsMessage<tg::InputError>(HasSubstr("no multiple")));
    const auto seven_b = tg::models::LanguageConfig::read(json::object(), "config.json");
    EXPECT_EQ(seven_b.hidden, 4096);
    EXPECT_EQ(seven_b.head_dim, 128);
    EXPECT_EQ(seven_b.rope_theta, 1e4);
}

}  // namespace
