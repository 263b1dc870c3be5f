#include "training_run.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "train_options.hpp"

namespace {

namespace fs = std::filesystem;
using tg::training::StepVerdict;

// Forty samples of text, a step each; those of index 13 and 33 hold nothing but rare words, so that their loss is many
// times what is usual.
tg::training::TrainSettings job(const fs::path& folder) {
    const auto file = folder / "data.jsonl";
    std::ofstream lines(file);
    for (int i = 0; i < 40; ++i)
        lines << R"({"conversations": [{"from": "human", "value": "What is )" << i
              << R"(?"}, {"from": "gpt", "value": ")" << (i % 20 == 13 ? "qq zz xx jj vv kk" : "a number a number")
              << "\"}]}\n";
    tg::training::TrainSettings settings;
    settings.model = tg::fixture::model;
    settings.data = {file};
    settings.global_batch = 1;
    settings.max_steps = 12;
    settings.learning_rate = 5e-3;
    return settings;
}

// A run in `folder`, as the stage makes it.
struct Training {
    Training(const tg::training::TrainSettings& settings, const fs::path& folder)
        : parts(tg::training::describe_model(settings)),
          samples(tg::training::read_sources(settings.data), *solo),
          paths(folder),
          run((fs::create_directories(folder), settings), tg::training::trainer_options(settings), *parts, samples, {},
              *solo, paths, "fingerprint") {}

    void steps_until(std::int64_t step) {
        while (run.next_step() < step) run.step();
    }
    std::vector<double> losses() const {
        std::vector<double> all;
        for (const auto& row : run.log().rows()) all.push_back(row.loss);
        return all;
    }

    std::unique_ptr<tg::parallel::Communicator> solo = tg::parallel::make_solo();
    std::unique_ptr<tg::models::VlmParts> parts;
    tg::training::SampleSet samples;
    tg::run::Paths paths;
    tg::training::TrainingRun run;
};

TEST(TrainingRun, goes_on_from_its_newest_checkpoint_with_the_losses_of_an_uninterrupted_run) {
    const tg::fixture::Scratch scratch("run_resume");
    auto settings = job(scratch.path());
    Training whole(settings, scratch.path() / "whole");
    whole.steps_until(12);

    settings.checkpoint_steps = 3;
    {
        Training cut(settings, scratch.path() / "cut");
        EXPECT_EQ(cut.run.next_step(), 0);
        cut.steps_until(7);  // the second checkpoint, of step 6, may still be under way: the first is whole
    }
    Training again(settings, scratch.path() / "cut");
    EXPECT_THAT(again.run.next_step(), testing::AnyOf(3, 6));
    EXPECT_EQ(again.losses().size(), static_cast<std::size_t>(again.run.next_step()));
    again.steps_until(12);
    EXPECT_EQ(again.losses(), whole.losses());
}

TEST(TrainingRun, rolls_back_to_the_checkpoint_and_passes_the_bad_stretch) {
    const tg::fixture::Scratch scratch("run_roll_back");
    auto settings = job(scratch.path());
    settings.max_steps = 60;
    settings.warmup_ratio = 0.05;
    settings.checkpoint_steps = 10;
    settings.spike = 6;
    settings.on_spike = StepVerdict::roll_back;
    Training training(settings, scratch.path() / "run");
    std::int64_t bad = -1;
    while (training.run.log().roll_backs().empty() && training.run.next_step() < 60) {
        bad = training.run.next_step();
        training.run.step();
    }
    ASSERT_EQ(training.run.log().roll_backs().size(), 1u);
    const auto to = bad / 10 * 10;
    const auto& back = training.run.log().roll_backs().front();
    EXPECT_EQ(back.step, static_cast<double>(bad));
    EXPECT_EQ(back.to, static_cast<double>(to));
    EXPECT_EQ(training.run.next_step(), to);
    EXPECT_EQ(training.losses().size(), static_cast<std::size_t>(to)) << "what was learnt behind it is forgotten";

    training.run.step();  // with the data behind the spike
    EXPECT_EQ(training.run.next_step(), to + 1);
    EXPECT_EQ(training.run.log().data_step(to), bad + 1);
    EXPECT_EQ(training.run.log().rows().back().epoch, static_cast<double>(bad + 1) / 40);
}

TEST(TrainingRun, gives_up_after_as_many_roll_backs_as_the_job_allows) {
    const tg::fixture::Scratch scratch("run_bounded");
    auto settings = job(scratch.path());
    settings.max_steps = 60;
    settings.warmup_ratio = 0.05;
    settings.spike = 6;
    settings.on_spike = StepVerdict::roll_back;
    settings.max_roll_backs = 0;
    Training training(settings, scratch.path() / "run");
    EXPECT_THAT([&] { training.steps_until(60); },
                testing::ThrowsMessage<tg::parallel::AgreedFailure>(testing::HasSubstr("train.max_roll_backs")));
}

TEST(TrainingRun, validates_before_the_first_step_at_every_interval_and_behind_the_last) {
    const tg::fixture::Scratch scratch("run_validation");
    auto settings = job(scratch.path());
    settings.validation = {"0.3"};
    settings.validation_steps = 5;
    Training training(settings, scratch.path() / "run");
    const auto validated = [&] {
        std::vector<double> steps;
        for (const auto& row : training.run.log().validation()) steps.push_back(row.step);
        return steps;
    };
    EXPECT_TRUE(validated().empty());
    training.run.step();
    EXPECT_EQ(validated(), (std::vector<double>{0}));
    training.steps_until(12);
    EXPECT_EQ(validated(), (std::vector<double>{0, 5, 10}));
    training.run.finish();
    EXPECT_EQ(validated(), (std::vector<double>{0, 5, 10, 12}));
    const auto& rows = training.run.log().validation();
    EXPECT_LT(rows.back().loss, rows.front().loss);
}

TEST(TrainingRun, finishes_with_the_log_the_exported_model_and_no_checkpoints) {
    const tg::fixture::Scratch scratch("run_finish");
    auto settings = job(scratch.path());
    settings.checkpoint_steps = 4;
    Training training(settings, scratch.path() / "run");
    training.steps_until(12);
    EXPECT_TRUE(fs::exists(training.paths.checkpoints()));
    const auto figures = training.run.finish();

    const auto log = tg::storage::Hdf5File::open(training.paths.file("training_log.h5"));
    EXPECT_EQ(log.read<double>("loss"), training.losses());
    EXPECT_EQ(log.int_attribute("samples"), 40);
    EXPECT_EQ(log.int_attribute("samples_left_out"), 0);
    EXPECT_TRUE(fs::exists(training.paths.file("training_log.csv")));
    EXPECT_FALSE(fs::exists(training.paths.checkpoints()));
    EXPECT_THAT(figures, testing::IsSupersetOf({testing::Pair("steps", 12.0), testing::Pair("samples", 40.0),
                                                testing::Pair("loss_last", training.losses().back())}));

    // What is exported was learnt.
    const auto tuned = tg::models::VisionLanguageModel::load(training.paths.exported() / "model"),
               base = tg::models::VisionLanguageModel::load(tg::fixture::model);
    EXPECT_FALSE(torch::equal(tuned.parts().language.layers[0].unit().parameters[1].value,
                              base.parts().language.layers[0].unit().parameters[1].value));
}

}  // namespace
