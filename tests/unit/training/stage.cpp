// The stage as the program runs it: a folder of pictures, LLaVA's JSON, the tiny model; what it leaves, and what transformers' key names say.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/nn/vlm.hpp"
#include "taskgalaxy/pool/image.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/training/train_stage.hpp"

namespace {

namespace fs = std::filesystem;

tg::TrainSettings job(const fs::path& folder, int samples) {
    std::ofstream json(folder / "data.json");
    json << "[";
    for (int i = 0; i < samples; ++i) {
        tg::Image image{40, 30, std::vector<std::uint8_t>(40 * 30 * 3, static_cast<std::uint8_t>(i * 9))};
        const auto bytes = tg::encode_jpeg(image, 90);
        std::ofstream(folder / (std::to_string(i) + ".jpg"), std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        json << (i ? "," : "") << R"({"id": ")" << i << R"(", "image": ")" << i << R"(.jpg", "conversations": [{"from": "human", "value": "<image>\nHow bright?"}, {"from": "gpt", "value": "About )" << i * 9 << R"("}]})";
    }
    json << R"(, {"id": "lost", "image": "not_there.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Nothing"}]})";
    json << R"(, {"id": "text", "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me"}]}])";
    tg::TrainSettings settings;
    settings.model = tg::fixture::model;
    settings.data = {folder / "data.json"};
    settings.image_root = folder;
    settings.global_batch = 4;
    settings.micro_batch = 2;
    settings.epochs = 3;
    settings.learning_rate = 2e-3;
    return settings;
}

TEST(TrainStage, learns_counts_what_it_left_out_and_exports_a_model_that_loads) {
    const tg::fixture::Scratch scratch("stage");
    const auto stage = tg::make_train_stage(job(scratch.path(), 10), {});
    stage->check();
    const auto solo = tg::make_solo();
    tg::StageContext context{*solo, tg::RunPaths(scratch.path() / "run"), "fingerprint"};
    fs::create_directories(context.paths.root());
    stage->run(context);

    const auto log = tg::Hdf5File::open(context.paths.file("training_log.h5"));
    const auto losses = log.read<double>("loss");
    ASSERT_EQ(losses.size(), 9u);
    EXPECT_LT(losses.back(), losses.front());
    EXPECT_EQ(log.read<double>("lr")[0], 0);
    EXPECT_EQ(log.int_attribute("samples_left_out"), 3);  // once an epoch
    EXPECT_FALSE(fs::exists(context.paths.checkpoints()));

    const auto exported = context.paths.exported() / "model";
    const tg::SafetensorsFolder before(tg::fixture::model), after(exported);
    std::vector<std::string> names_before, names_after;
    for (const auto& [name, info] : before.tensors()) names_before.push_back(name);
    for (const auto& [name, info] : after.tensors()) names_after.push_back(name);
    EXPECT_EQ(names_before, names_after);
    EXPECT_TRUE(fs::exists(exported / "tokenizer.model"));
    const auto model = tg::VisionLanguageModel::load(exported);
    EXPECT_EQ(model.generate(std::vector<tg::VlmPrompt>{{"How bright?", torch::zeros({3, 32, 32})}}).size(), 1u);
}

TEST(TrainStage, goes_on_from_a_checkpoint_to_the_same_log) {
    const tg::fixture::Scratch scratch("stage_again");
    auto settings = job(scratch.path(), 10);
    settings.epochs = 2;
    const auto solo = tg::make_solo();
    const auto losses = [&](const std::string& name) { return tg::Hdf5File::open(scratch.path() / name / "training_log.h5").read<double>("loss"); };
    fs::create_directories(scratch.path() / "whole");
    fs::create_directories(scratch.path() / "cut");
    tg::StageContext whole{*solo, tg::RunPaths(scratch.path() / "whole"), "f"}, cut{*solo, tg::RunPaths(scratch.path() / "cut"), "f"};
    tg::make_train_stage(settings, {})->run(whole);

    // A disk that fills while the model is exported leaves the checkpoints: here, a file where the folder should be.
    settings.checkpoint_steps = 2;
    std::ofstream(scratch.path() / "cut" / "export") << "in the way";
    EXPECT_ANY_THROW(tg::make_train_stage(settings, {})->run(cut));
    EXPECT_TRUE(fs::exists(cut.paths.checkpoints() / "step-00000004.h5"));
    fs::remove(scratch.path() / "cut" / "export");
    tg::make_train_stage(settings, {})->run(cut);
    EXPECT_EQ(losses("whole"), losses("cut"));
    const tg::SafetensorsFolder a(whole.paths.exported() / "model"), b(cut.paths.exported() / "model");
    for (const auto& [name, info] : a.tensors()) {
        std::vector<std::byte> x(info.bytes()), y(info.bytes());
        a.read(name, x);
        b.read(name, y);
        EXPECT_EQ(x, y) << name;
    }
}

TEST(TrainStage, says_what_is_missing_before_it_starts) {
    EXPECT_THROW(tg::make_train_stage({}, {})->check(), tg::UsageError);
    tg::TrainSettings settings;
    settings.model = "/nowhere";
    EXPECT_THAT([&] { tg::make_train_stage(settings, {})->check(); }, testing::ThrowsMessage<tg::InputError>(testing::HasSubstr("/nowhere")));
}

}  // namespace
