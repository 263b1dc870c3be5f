// Tiny InternVLs with random weights, in every layout, against what transformers computed of them
// (tests/fixtures/internvl/make.py).
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using tg::test::difference;
using tg::test::fixtures;
using tg::test::list;
using torch::Tensor;

Tensor expected(const std::string& name) { return tg::test::expected("internvl", name); }
fs::path folder_of(const std::string& name) { return fixtures("internvl") / name; }

const json& template_rows() {
    static const json all = json::parse(std::ifstream(fixtures("internvl") / "conversations.json"));
    return all;
}

// Logits of one sequence whose `context` ids are the positions of `pixels`' tiles.
Tensor logits_of(tg::models::VlmParts& parts, const std::vector<std::int64_t>& given, std::int64_t context,
                 const Tensor& pixels) {
    const torch::NoGradGuard no_grad;
    auto ids = torch::tensor(given, torch::kInt64);
    const auto rows = torch::nonzero(ids.eq(context)).squeeze(1);
    ids.masked_fill_(ids.eq(context), 0);
    auto x = parts.language.embed(ids);
    x.index_copy_(0, rows,
                  parts.projector->forward(parts.vision->features(pixels).reshape({-1, parts.vision->channels})));
    const auto packing = parts.language.pack({0, static_cast<std::int64_t>(given.size())});
    for (const auto& layer : parts.language.layers) x = layer.forward(x, packing);
    return parts.language.logits(x);
}

struct Case {
    const char *folder, *figures;
};
class InternVl : public testing::TestWithParam<Case> {};

TEST_P(InternVl, sees_projects_and_gives_the_logits_of_transformers) {
    const auto [folder, name] = GetParam();
    const auto figures = std::string(name) + ".";
    const auto model = tg::models::VisionLanguageModel::load(folder_of(folder));
    auto& parts = model.parts();
    const auto pixels = expected(figures + (figures == "hf." ? "pixels" : "pictures")).slice(0, 0, 3);
    const auto features = parts.vision->features(pixels);
    EXPECT_LT(difference(features, expected(figures + "features")), 1e-4);
    EXPECT_LT(
        difference(parts.projector->forward(features.flatten(0, 1)), expected(figures + "projected").flatten(0, 1)),
        1e-4);
    EXPECT_LT(
        difference(logits_of(parts, list(expected(figures + "ids")), *parts.tokenizer->id_of("<IMG_CONTEXT>"), pixels),
                   expected(figures + "logits")),
        1e-4);
}
INSTANTIATE_TEST_SUITE_P(All, InternVl,
                         testing::Values(Case{"tiny-hf", "hf"}, Case{"tiny-qwen", "hf"},
                                         Case{"tiny-internlm", "internlm"}),
                         [](const auto& row) { return std::string(row.param.folder).substr(5); });

TEST(InternVlChatV1, is_a_llava_with_an_internvit) {
    const auto model = tg::models::VisionLanguageModel::load(folder_of("tiny-v1"));
    auto& parts = model.parts();
    EXPECT_EQ(parts.family, "internvl_chat_v1");
    EXPECT_EQ(model.image_size(), 336);  // of a tower trained at 224
    EXPECT_EQ(model.image_tokens(), 576);
    EXPECT_EQ(parts.picture_recipe().tile.shortest_edge, 336);
    EXPECT_TRUE(parts.picture_recipe().tile.pad_square);
    EXPECT_FALSE(parts.picture_recipe(false).tile.pad_square);
    const auto pixels = expected("v1.small").repeat_interleave(28, 1).repeat_interleave(28, 2);
    const auto features = parts.vision->features(pixels.unsqueeze(0))[0];
    EXPECT_LT(difference(features.slice(0, 0, 576, 29), expected("v1.features")), 1e-4);
    EXPECT_LT(difference(parts.projector->forward(features).slice(0, 0, 576, 29), expected("v1.projected")), 1e-4);
    auto ids = list(expected("v1.before"));
    ids.insert(ids.end(), 576, tg::text::image_placeholder);
    const auto after = list(expected("v1.after"));
    ids.insert(ids.end(), after.begin(), after.end());
    EXPECT_LT(difference(logits_of(parts, ids, tg::text::image_placeholder, pixels.unsqueeze(0))
                             .slice(0, static_cast<std::int64_t>(ids.size() - after.size())),
                         expected("v1.logits")),
              1e-4);
}

TEST(InternVlConversations, have_the_ids_and_labels_of_the_reference) {
    const std::pair<const char*, const char*> templates[] = {{"Hermes-2", "tiny-qwen"},
                                                             {"internvl2_5", "tiny-qwen"},
                                                             {"phi3-chat", "tiny-qwen"},
                                                             {"internvl-hf", "tiny-hf"},
                                                             {"internlm2-chat", "tiny-internlm"}};
    ASSERT_EQ(template_rows()["rows"].size(), 200u);
    for (const auto& [name, folder] : templates) {
        const auto tokenizer = tg::text::make_language_tokenizer(folder_of(folder));
        for (const auto& row : template_rows()["rows"]) {
            std::vector<tg::text::Turn> turns;
            for (const auto& turn : row["turns"])
                turns.push_back({turn[0].get<std::string>(), turn[1].get<std::string>()});
            const bool has_image = row["has_image"].get<bool>();
            if (has_image) tg::text::place_marks(turns, tg::text::internvl_mark, true);
            const auto got = tg::text::tokenize_conversation(turns, tg::text::conversation_style(name), *tokenizer,
                                                             has_image, false, tg::text::internvl_mark);
            ASSERT_EQ(got.ids, row[name]["ids"].get<std::vector<std::int64_t>>()) << name << row["turns"];
            std::vector<std::int64_t> changes;
            bool inside = false;
            for (std::size_t i = 0; i <= got.labels.size(); ++i) {
                const bool learnt = i < got.labels.size() && got.labels[i] != tg::text::ignored_label;
                if (learnt != inside) changes.push_back(static_cast<std::int64_t>(i));
                if (learnt) {
                    ASSERT_EQ(got.labels[i], got.ids[i]);
                }
                inside = learnt;
            }
            ASSERT_EQ(changes, row[name]["learnt"].get<std::vector<std::int64_t>>()) << name << row["turns"];
        }
    }
}

TEST(InternVlConversations, take_a_literal_context_token_for_text_and_put_a_missing_mark_in_front) {
    const auto tokenizer = tg::text::make_language_tokenizer(folder_of("tiny-qwen"));
    std::vector<tg::text::Turn> turns{{"Is <IMG_CONTEXT> a token?", "Yes"}};
    tg::text::place_marks(turns, tg::text::internvl_mark, true);
    EXPECT_EQ(turns[0].question, "<image>\nIs <IMG_CONTEXT> a token?");
    const auto ids = tg::text::tokenize_conversation(turns, tg::text::conversation_style("Hermes-2"), *tokenizer, true,
                                                     false, tg::text::internvl_mark)
                         .ids;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), tg::text::image_placeholder), 1);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer->id_of("<IMG_CONTEXT>")), 1);
}

// Fields of config.json that change what is computed and are not followed.
TEST(InternVlConfigurations, that_are_not_understood_are_refused_by_the_field) {
    const auto folder = fs::temp_directory_path() / ("tg_internvl_config_" + std::to_string(::getpid()));
    const auto refusal = [&](const std::string& base, const json& patch) -> std::string {
        fs::remove_all(folder);
        fs::copy(folder_of(base), folder, fs::copy_options::recursive);
        auto config = json::parse(std::ifstream(folder / "config.json"));
        config.merge_patch(patch);
        std::ofstream(folder / "config.json") << config;
        try {
            tg::models::VlmParts::describe(folder);
        } catch (const tg::InputError& error) {
            return error.what();
        }
        return "taken";
    };
    const std::tuple<const char*, json, const char*> wrong[] = {
        {"tiny-qwen", {{"ps_version", "v3"}}, "ps_version = v3"},
        {"tiny-qwen", {{"downsample_ratio", 0.25}}, "downsample_ratio = 0.25"},
        {"tiny-qwen", {{"template", "unheard-of"}}, "template: conversation style 'unheard-of'"},
        {"tiny-qwen", {{"template", nullptr}}, "template is missing"},
        {"tiny-qwen", {{"max_dynamic_patch", 0}}, "max_dynamic_patch = 0"},
        {"tiny-qwen", {{"use_llm_lora", 16}}, "use_llm_lora = 16"},
        {"tiny-qwen", {{"select_layer", -9}}, "layer -9 of a tower of 3"},
        {"tiny-qwen", {{"llm_config", {{"architectures", {"Phi3ForCausalLM"}}}}}, "Phi3ForCausalLM"},
        {"tiny-qwen", {{"vision_config", {{"norm_type", "batch_norm"}}}}, "norm_type = batch_norm"},
        {"tiny-qwen", {{"vision_config", {{"num_hidden_layers", "many"}}}}, "config.json"},
        {"tiny-internlm", {{"llm_config", {{"bias", true}}}}, "bias = true"},
        {"tiny-internlm",
         {{"llm_config", {{"rope_scaling", {{"type", "linear"}}}}}},
         "rope_scaling.rope_type = linear"},
        {"tiny-internlm", {{"llm_config", {{"hidden_size", -4}}}}, "hidden_size = -4"},
        {"tiny-internlm", {{"system_message", "Be brief."}}, "system_message = Be brief."},
        {"tiny-hf", {{"vision_feature_layer", {-1, -2}}}, "vision_feature_layer = [-1,-2]"},
        {"tiny-hf", {{"projector_hidden_act", "relu"}}, "projector_hidden_act = relu"},
        {"tiny-hf", {{"vision_config", {{"image_size", {32, 48}}}}}, "image_size = [32,48]"},
        {"tiny-v1", {{"mm_vision_tower", "nowhere"}}, "mm_vision_tower = nowhere"},
        {"tiny-v1", {{"mm_projector_type", "resampler"}}, "mm_projector_type = resampler"},
    };
    for (const auto& [base, patch, message] : wrong) {
        const auto said = refusal(base, patch);
        EXPECT_THAT(said, testing::HasSubstr(message)) << patch;
        EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 0) << said;
    }
    EXPECT_EQ(refusal("tiny-internlm", {{"max_dynamic_patch", 12}}), "taken");
    fs::remove_all(folder);
}

TEST(Tensors, go_back_into_the_files_as_they_came) {
    for (const auto* name : {"tiny-hf", "tiny-qwen", "tiny-internlm", "tiny-v1"}) {
        const auto model = tg::models::VisionLanguageModel::load(folder_of(name));
        const auto& parts = model.parts();
        std::size_t checked = 0;
        for (const auto* unit : model.parts().units())
            for (const auto& parameter : unit->parameters)
                tg::layers::write_parameter(parameter, [&](const tg::layers::FilePiece& piece, const Tensor& tensor) {
                    const auto in_files = parts.names.file_name(piece.name);
                    auto stored = torch::empty(parts.files.info(in_files).shape);
                    parts.files.read(in_files,
                                     {static_cast<std::byte*>(stored.data_ptr()), parts.files.info(in_files).bytes()});
                    EXPECT_TRUE(torch::equal(stored, tensor)) << name << ' ' << in_files;
                    ++checked;
                });
        EXPECT_GT(checked, 15u) << name;
    }
}

}  // namespace
