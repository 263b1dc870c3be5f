// A tiny LLaVA with random weights against what transformers computed of it (tests/fixtures/vlm/make.py).
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
using tg::test::difference;
using tg::test::expected;
using tg::test::fixtures;
using tg::test::list;
using torch::Tensor;

const json& conversations() {
    static const json all = json::parse(std::ifstream(fixtures("vlm") / "conversations.json"));
    return all;
}

const tg::models::VisionLanguageModel& model() {
    static const auto the = tg::models::VisionLanguageModel::load(fixtures("vlm") / "tiny-llava");
    return the;
}

struct Forward {
    std::vector<Tensor> inputs;  // of each layer
    std::vector<tg::models::DecoderLayer::Kept> kept;
    Tensor hidden, ids, image_rows, features;
    tg::layers::Projector::Kept projector;
    tg::models::Packing packing;
};

// One packed row of whole conversations, as training runs it.
Forward forward(tg::models::VlmParts& parts, const std::vector<std::vector<std::int64_t>>& conversations_ids,
                const Tensor& pictures) {
    Forward f;
    std::vector<std::int64_t> ids, rows, starts{0};
    for (const auto& conversation : conversations_ids) {
        for (const auto id : conversation) {
            if (id == 640) rows.push_back(static_cast<std::int64_t>(ids.size()));
            ids.push_back(id == 640 ? 0 : id);
        }
        starts.push_back(static_cast<std::int64_t>(ids.size()));
    }
    f.ids = torch::tensor(ids, torch::kInt64);
    f.image_rows = torch::tensor(rows, torch::kInt64);
    f.packing = parts.language.pack(starts);
    auto x = parts.language.embed(f.ids);
    f.features = parts.vision->features(pictures).reshape({-1, parts.vision->channels});
    x.index_copy_(0, f.image_rows, parts.projector->forward(f.features, &f.projector));
    f.kept.resize(parts.language.layers.size());
    for (std::size_t i = 0; i < f.kept.size(); ++i) {
        f.inputs.push_back(x);
        x = parts.language.layers[i].forward(x, f.packing, &f.kept[i]);
    }
    f.hidden = x;
    return f;
}

TEST(TinyLlava, sees_and_projects_a_picture_as_transformers_does) {
    auto& parts = model().parts();
    const auto features = parts.vision->features(expected("vlm", "pictures").slice(0, 0, 1))[0];
    EXPECT_LT(difference(features, expected("vlm", "features")), 1e-4);
    EXPECT_LT(difference(parts.projector->forward(features), expected("vlm", "projected")), 1e-4);
}

TEST(TinyLlava, gives_the_logits_of_transformers) {
    const torch::NoGradGuard no_grad;
    auto& parts = model().parts();
    const auto f = forward(parts, {list(expected("vlm", "ids"))}, expected("vlm", "pictures").slice(0, 0, 1));
    EXPECT_LT(difference(parts.language.logits(f.hidden), expected("vlm", "logits")), 1e-4);
}

TEST(TinyLlava, computes_a_packed_row_as_its_sequences_alone) {
    const torch::NoGradGuard no_grad;
    auto& parts = model().parts();
    const auto ids = list(expected("vlm", "ids"));
    const std::vector<std::int64_t> text{1, 300, 301, 302, 303};
    const auto packed = forward(parts, {text, ids, text}, expected("vlm", "pictures").slice(0, 0, 1));
    const auto n = static_cast<std::int64_t>(ids.size());
    EXPECT_LT(difference(parts.language.logits(packed.hidden).slice(0, 5, 5 + n), expected("vlm", "logits")), 1e-4);
    EXPECT_LT(difference(packed.hidden.slice(0, 0, 5), packed.hidden.slice(0, 5 + n, 10 + n)), 1e-6);
}

TEST(Conversations, have_the_ids_and_labels_of_the_reference) {
    for (const std::string mode : {"legacy", "new"}) {
        const auto folder = fs::temp_directory_path() / ("tg_tokenizer_" + mode + std::to_string(::getpid()));
        fs::create_directories(folder);
        fs::copy_file(fixtures("vlm") / "tiny-llava/tokenizer.model", folder / "tokenizer.model",
                      fs::copy_options::overwrite_existing);
        auto config = json::parse(std::ifstream(fixtures("vlm") / "tiny-llava/tokenizer_config.json"));
        config["legacy"] = mode == "legacy";
        std::ofstream(folder / "tokenizer_config.json") << config;
        const auto tokenizer = tg::text::make_language_tokenizer(folder);
        fs::remove_all(folder);
        int checked = 0;
        for (const auto& row : conversations()) {
            std::vector<tg::text::Turn> turns;
            for (const auto& turn : row["turns"])
                turns.push_back({turn[0].get<std::string>(), turn[1].get<std::string>()});
            const bool has_image = row["has_image"].get<bool>();
            const auto got = tg::text::tokenize_conversation(turns, tg::text::conversation_style("vicuna_v1"),
                                                             *tokenizer, has_image);
            ASSERT_EQ(got.ids, row[mode]["ids"].get<std::vector<std::int64_t>>()) << mode << row["turns"];
            ASSERT_EQ(got.labels, row[mode]["labels"].get<std::vector<std::int64_t>>()) << mode << row["turns"];
            ++checked;
            if (!has_image) continue;
            turns.resize(1);
            const auto plain =
                tg::text::tokenize_conversation(turns, tg::text::conversation_style("plain"), *tokenizer, true);
            ASSERT_EQ(plain.ids, row[mode + "_plain"]["ids"].get<std::vector<std::int64_t>>())
                << mode << row["turns"][0];
            ASSERT_EQ(plain.labels, row[mode + "_plain"]["labels"].get<std::vector<std::int64_t>>())
                << mode << row["turns"][0];
        }
        EXPECT_EQ(checked, 240);
    }
}

TEST(Conversations, put_one_mark_in_front) {
    EXPECT_EQ(tg::text::with_mark_in_front("What <image> is <image>this?"), "<image>\nWhat  is this?");
    EXPECT_EQ(tg::text::with_mark_in_front("no picture"), "no picture");
}

TEST(Folders, that_are_no_model_are_refused_by_name) {
    const auto folder = fs::temp_directory_path() / ("tg_no_model_" + std::to_string(::getpid()));
    fs::create_directories(folder);
    EXPECT_THAT([&] { tg::models::VlmParts::describe(folder); },
                testing::ThrowsMessage<tg::InputError>(testing::HasSubstr("config.json")));
    std::ofstream(folder / "config.json") << R"({"model_type": "bert"})";
    EXPECT_THAT([&] { tg::models::VlmParts::describe(folder); },
                testing::ThrowsMessage<tg::InputError>(testing::AllOf(testing::HasSubstr("'bert' is not known"),
                                                                      testing::HasSubstr("llava, llava_llama"))));
    fs::remove_all(folder);
}

// What others ask of a family, instead of its name.
TEST(Families, say_what_can_be_done_with_their_models) {
    struct Facts {
        const char* folder;
        bool is_llava, tower_can_be_sharded;
        const char *projector, *layer;  // names of modules in the class that loads the model
    };
    constexpr Facts families[] = {
        {"vlm/tiny-llava", true, false, "model.multi_modal_projector.linear_1.", "model.language_model.layers.1."},
        {"internvl/tiny-hf", false, true, "model.multi_modal_projector.linear_1.", "model.language_model.layers.1."},
        {"internvl/tiny-qwen", false, true, "mlp1.1.", "language_model.model.layers.1."},
        {"internvl/tiny-internlm", false, true, "mlp1.1.", "language_model.model.layers.1."},
        {"internvl/tiny-v1", false, true, "model.mm_projector.0.", "model.layers.1."},
        {"language/tiny-qwen2", false, false, nullptr, "model.layers.1."},
    };
    for (const auto& family : families) {
        const auto parts = tg::models::VlmParts::describe(fixtures("") / family.folder);
        EXPECT_EQ(parts->llava != nullptr, family.is_llava) << family.folder;
        EXPECT_EQ(parts->vision && parts->vision->can_be_sharded(), family.tower_can_be_sharded) << family.folder;
        EXPECT_EQ(parts->class_name("language_model.model.layers.1."), family.layer) << family.folder;
        if (family.projector) {
            EXPECT_EQ(parts->class_name("multi_modal_projector.linear_1."), family.projector) << family.folder;
        }
    }
}

}  // namespace
