// The stage as the program runs it: a folder of pictures, LLaVA's JSON, the tiny model; what it leaves, and what
// transformers' key names say.
#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/nn/generation/generate.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/training/train_stage.hpp"

namespace {

namespace fs = std::filesystem;

tg::training::TrainSettings job(const fs::path& folder, int samples) {
    std::ofstream json(folder / "data.json");
    json << "[";
    for (int i = 0; i < samples; ++i) {
        tg::pictures::Image image{40, 30, std::vector<std::uint8_t>(40 * 30 * 3, static_cast<std::uint8_t>(i * 9))};
        const auto bytes = tg::pictures::encode_jpeg(image, 90);
        std::ofstream(folder / (std::to_string(i) + ".jpg"), std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        json << (i ? "," : "") << R"({"id": ")" << i << R"(", "image": ")" << i
             << R"(.jpg", "conversations": [{"from": "human", "value": "<image>\nHow bright?"}, {"from": "gpt", )"
                R"("value": "About )"
             << i * 9 << R"("}]})";
    }
    json << R"(, {"id": "lost", "image": "not_there.jpg", "conversations": [{"from": "human", )"
            R"("value": "<image>\nWhat?"}, {"from": "gpt", "value": "Nothing"}]})";
    json << R"(, {"id": "text", "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", )"
            R"("value": "Me"}]}])";
    tg::training::TrainSettings settings;
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
    const auto stage = tg::training::make_train_stage(job(scratch.path(), 10), {});
    stage->check();
    const auto solo = tg::parallel::make_solo();
    tg::run::StageContext context{*solo, tg::run::Paths(scratch.path() / "run"), "fingerprint"};
    fs::create_directories(context.paths.root());
    stage->run(context);

    const auto log = tg::storage::Hdf5File::open(context.paths.file("training_log.h5"));
    const auto losses = log.read<double>("loss");
    ASSERT_EQ(losses.size(), 9u);
    EXPECT_LT(losses.back(), losses.front());
    EXPECT_EQ(log.read<double>("lr")[0], 0);
    EXPECT_EQ(log.int_attribute("samples_left_out"), 3);  // once an epoch
    EXPECT_FALSE(fs::exists(context.paths.checkpoints()));

    const auto exported = context.paths.exported() / "model";
    const tg::storage::SafetensorsFolder before(tg::fixture::model), after(exported);
    std::vector<std::string> names_before, names_after;
    for (const auto& [name, info] : before.tensors()) names_before.push_back(name);
    for (const auto& [name, info] : after.tensors()) names_after.push_back(name);
    EXPECT_EQ(names_before, names_after);
    EXPECT_TRUE(fs::exists(exported / "tokenizer.model"));
    const auto model = tg::models::VisionLanguageModel::load(exported);
    EXPECT_EQ(
        tg::generation::generate(model, std::vector<tg::generation::Prompt>{{"How bright?", torch::zeros({3, 32, 32})}})
            .size(),
        1u);
}

TEST(TrainStage, goes_on_from_a_checkpoint_to_the_same_log) {
    const tg::fixture::Scratch scratch("stage_again");
    auto settings = job(scratch.path(), 10);
    settings.epochs = 2;
    const auto solo = tg::parallel::make_solo();
    const auto losses = [&](const std::string& name) {
        return tg::storage::Hdf5File::open(scratch.path() / name / "training_log.h5").read<double>("loss");
    };
    fs::create_directories(scratch.path() / "whole");
    fs::create_directories(scratch.path() / "cut");
    tg::run::StageContext whole{*solo, tg::run::Paths(scratch.path() / "whole"), "f"},
        cut{*solo, tg::run::Paths(scratch.path() / "cut"), "f"};
    tg::training::make_train_stage(settings, {})->run(whole);

    // A disk that fills while the model is exported leaves the checkpoints: here, a file where the folder should be.
    settings.checkpoint_steps = 2;
    std::ofstream(scratch.path() / "cut" / "export") << "in the way";
    EXPECT_ANY_THROW(tg::training::make_train_stage(settings, {})->run(cut));
    EXPECT_TRUE(fs::exists(cut.paths.checkpoints() / "step-00000002.h5"));  // that of step 4 may be under way still
    fs::remove(scratch.path() / "cut" / "export");
    tg::training::make_train_stage(settings, {})->run(cut);
    EXPECT_EQ(losses("whole"), losses("cut"));
    const tg::storage::SafetensorsFolder a(whole.paths.exported() / "model"), b(cut.paths.exported() / "model");
    for (const auto& [name, info] : a.tensors()) {
        std::vector<std::byte> x(info.bytes()), y(info.bytes());
        a.read(name, x);
        b.read(name, y);
        EXPECT_EQ(x, y) << name;
    }
}

// Thirty samples alike and, in their middle, some of nothing but rare words: steps whose loss stands out.
tg::training::TrainSettings job_with_spikes(const fs::path& folder) {
    std::ofstream json(folder / "data.json");
    json << "[";
    for (int i = 0; i < 40; ++i)
        json << (i ? "," : "") << R"({"conversations": [{"from": "human", "value": "What is )" << i
             << R"(?"}, {"from": "gpt", "value": ")" << (i % 20 == 13 ? "qq zz xx jj vv kk" : "a number a number")
             << R"("}]})";
    json << "]";
    tg::training::TrainSettings settings;
    settings.model = tg::fixture::model;
    settings.data = {folder / "data.json"};
    settings.image_root = folder;
    settings.global_batch = 1;
    settings.max_steps = 60;
    settings.learning_rate = 5e-3;
    settings.warmup_ratio = 0.05;
    settings.checkpoint_steps = 10;
    settings.spike = 6;
    return settings;
}

struct Trained {
    std::vector<double> loss, skipped, epoch, back_step, back_to, back_data;
};
Trained run_stage(const tg::training::TrainSettings& settings, const fs::path& folder) {
    const auto solo = tg::parallel::make_solo();
    fs::create_directories(folder);
    tg::run::StageContext context{*solo, tg::run::Paths(folder), "f"};
    tg::training::make_train_stage(settings, {})->run(context);
    const auto log = tg::storage::Hdf5File::open(folder / "training_log.h5");
    const auto column = [&](const char* name) { return log.read<double>(name); };
    return {column("loss"),          column("skipped"),        column("epoch"), column("roll_backs/step"),
            column("roll_backs/to"), column("roll_backs/data")};
}

TEST(TrainStage, skips_or_rolls_back_over_spikes_and_goes_on_the_same_after_a_restart) {
    const tg::fixture::Scratch scratch("stage_spikes");
    auto settings = job_with_spikes(scratch.path());
    const auto skipping = run_stage(settings, scratch.path() / "skip");
    EXPECT_GE(std::count(skipping.skipped.begin(), skipping.skipped.end(), 1.0), 1);
    EXPECT_TRUE(skipping.back_step.empty());

    settings.on_spike = tg::training::StepVerdict::roll_back;
    settings.max_roll_backs = 10;
    const auto rolling = run_stage(settings, scratch.path() / "back");
    ASSERT_GE(rolling.back_step.size(), 1u);
    EXPECT_EQ(rolling.loss.size(), 60u);
    EXPECT_EQ(std::count(rolling.skipped.begin(), rolling.skipped.end(), 1.0), 0);
    const auto to = static_cast<std::size_t>(rolling.back_to[0]);
    EXPECT_EQ(rolling.back_to[0], std::floor(rolling.back_step[0] / 10) * 10);
    EXPECT_EQ(rolling.back_data[0], rolling.back_step[0] + 1);
    EXPECT_EQ(rolling.loss[to - 1], skipping.loss[to - 1]);  // the same until there
    EXPECT_EQ(rolling.epoch[to - 1], static_cast<double>(to - 1) / 40);
    EXPECT_EQ(rolling.epoch[59], (59 + rolling.back_data.back() - rolling.back_to.back()) / 40);

    // Ended by force behind the roll back (a file where the exported folder should be), and again: the same log.
    fs::create_directories(scratch.path() / "cut");
    std::ofstream(scratch.path() / "cut" / "export") << "in the way";
    EXPECT_ANY_THROW(run_stage(settings, scratch.path() / "cut"));
    fs::remove(scratch.path() / "cut" / "export");
    fs::remove(scratch.path() / "cut" / "checkpoints" / "step-00000050.h5");
    const auto cut = run_stage(settings, scratch.path() / "cut");
    EXPECT_EQ(cut.loss, rolling.loss);
    EXPECT_EQ(cut.back_step, rolling.back_step);

    settings.max_roll_backs = 0;
    EXPECT_THAT([&] { run_stage(settings, scratch.path() / "bounded"); },
                testing::ThrowsMessage<tg::parallel::AgreedFailure>(testing::HasSubstr("max_roll_backs")));
    settings.on_spike = tg::training::StepVerdict::stop;
    EXPECT_THAT([&] { run_stage(settings, scratch.path() / "stop"); },
                testing::ThrowsMessage<tg::parallel::AgreedFailure>(testing::HasSubstr("on_spike")));
}

TEST(TrainStage, measures_the_loss_of_samples_that_it_does_not_learn_from) {
    const tg::fixture::Scratch scratch("stage_validation");
    auto settings = job_with_spikes(scratch.path());
    settings.spike = 0;
    settings.validation = {"0.3"};
    settings.validation_steps = 25;
    settings.tensorboard = true;
    run_stage(settings, scratch.path() / "share");
    const auto log = tg::storage::Hdf5File::open(scratch.path() / "share" / "training_log.h5");
    EXPECT_EQ(log.read<double>("validation/step"), (std::vector<double>{0, 25, 50, 60}));
    const auto losses = log.read<double>("validation/loss"), tokens = log.read<double>("validation/tokens");
    EXPECT_LT(losses.back(), losses.front());
    EXPECT_EQ(std::set<double>(tokens.begin(), tokens.end()).size(), 1u);
    const auto epochs = log.read<double>("epoch");
    const auto learnt = std::llround(59 / epochs[59]);  // steps an epoch: samples that are learnt from
    EXPECT_LT(learnt, 35);
    EXPECT_GT(learnt, 20);
    EXPECT_FALSE(fs::is_empty(scratch.path() / "share" / "tensorboard"));

    settings.validation = {scratch.path() / "data.json"};
    settings.max_steps = 4;
    settings.validation_steps = 0;
    run_stage(settings, scratch.path() / "file");
    EXPECT_EQ(tg::storage::Hdf5File::open(scratch.path() / "file" / "training_log.h5").read<double>("validation/step"),
              (std::vector<double>{0, 4}));
    settings.spike = 0.5;
    EXPECT_THAT([&] { tg::training::make_train_stage(settings, {})->check(); },
                testing::ThrowsMessage<tg::UsageError>(testing::HasSubstr("train.spike")));
    settings.spike = 0;
    settings.validation = {"1.5"};
    EXPECT_THAT([&] { tg::training::make_train_stage(settings, {})->check(); },
                testing::ThrowsMessage<tg::UsageError>(testing::HasSubstr("between 0 and 1")));
}

TEST(TrainStage, decays_norms_where_the_job_says_so) {
    const tg::fixture::Scratch scratch("stage_decay");
    auto settings = job(scratch.path(), 4);
    settings.epochs = 2;
    settings.weight_decay = 1;
    settings.learning_rate = 0.1;
    const auto norm = [&](tg::training::Decay decay, const std::string& name) {
        settings.decay = decay;
        run_stage(settings, scratch.path() / name);
        const tg::storage::SafetensorsFolder files(scratch.path() / name / "export/model");
        std::vector<float> values(48);
        files.read("language_model.model.norm.weight", std::as_writable_bytes(std::span(values)));
        return std::accumulate(values.begin(), values.end(), 0.0);
    };
    EXPECT_LT(norm(tg::training::Decay::all, "all"), norm(tg::training::Decay::matrices, "matrices") - 0.1);
}

TEST(TrainStage, says_what_is_missing_before_it_starts) {
    EXPECT_THROW(tg::training::make_train_stage({}, {})->check(), tg::UsageError);
    tg::training::TrainSettings settings;
    settings.model = "/nowhere";
    EXPECT_THAT([&] { tg::training::make_train_stage(settings, {})->check(); },
                testing::ThrowsMessage<tg::InputError>(testing::HasSubstr("/nowhere")));
}

}  // namespace
