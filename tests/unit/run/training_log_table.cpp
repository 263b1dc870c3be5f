#include "taskgalaxy/run/training_log_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tables.hpp"

namespace tg::run {
namespace {

TrainingLogTable some_log(std::size_t steps) {
    TrainingLogTable log;
    for (std::size_t i = 0; i < steps; ++i) {
        const auto number = static_cast<double>(i);
        log.steps.push_back({.step = number, .loss = 1 / (number + 1), .lr = 1e-5 * number, .mfu = 0.4, .skipped = 1});
        if (i % 3 == 0) log.validation.push_back({number, number / 2, 100});
        if (i % 5 == 1) log.roll_backs.push_back({number, number - 1, number + 1});
    }
    return log;
}

void expect_same(const TrainingLogTable& read, const TrainingLogTable& written) {
    ASSERT_EQ(read.steps.size(), written.steps.size());
    for (std::size_t i = 0; i < read.steps.size(); ++i)
        EXPECT_EQ(named_columns(read.steps[i]), named_columns(written.steps[i]));
    ASSERT_EQ(read.validation.size(), written.validation.size());
    for (std::size_t i = 0; i < read.validation.size(); ++i) {
        EXPECT_EQ(read.validation[i].step, written.validation[i].step);
        EXPECT_EQ(read.validation[i].loss, written.validation[i].loss);
        EXPECT_EQ(read.validation[i].tokens, written.validation[i].tokens);
    }
    ASSERT_EQ(read.roll_backs.size(), written.roll_backs.size());
    for (std::size_t i = 0; i < read.roll_backs.size(); ++i) {
        EXPECT_EQ(read.roll_backs[i].step, written.roll_backs[i].step);
        EXPECT_EQ(read.roll_backs[i].to, written.roll_backs[i].to);
        EXPECT_EQ(read.roll_backs[i].data, written.roll_backs[i].data);
    }
}

class TrainingLogTables : public ::testing::TestWithParam<std::size_t> {
protected:
    test::TemporaryFolder folder;
};

TEST_P(TrainingLogTables, give_back_steps_validations_and_roll_backs) {
    const auto log = some_log(GetParam());
    write_training_log(folder / files::training_log, log, {.samples = 7, .ranks = 2});
    expect_same(read_training_log(folder / files::training_log), log);
}

TEST_P(TrainingLogTables, lie_in_a_group_of_a_checkpoint_as_well) {
    const auto log = some_log(GetParam());
    storage::publish_hdf5(folder / "step.h5", [&](storage::Hdf5File& out) { log.write(out, "log/"); });
    expect_same(TrainingLogTable::read(storage::Hdf5File::open(folder / "step.h5"), "log/"), log);
}

INSTANTIATE_TEST_SUITE_P(steps, TrainingLogTables, ::testing::Values(0, 1, 123));

TEST(training_log_table, says_which_dataset_is_missing_or_of_another_type) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "half.h5", [](storage::Hdf5File& out) { out.write("step", std::vector{1.0}); });
    EXPECT_THAT(test::storage_error([&] { read_training_log(folder / "half.h5"); }),
                test::NamesFileAndDataset(folder / "half.h5", "epoch"));
    storage::publish_hdf5(folder / "typed.h5", [](storage::Hdf5File& out) { out.write("step", std::vector{1}); });
    EXPECT_THAT(test::storage_error([&] { read_training_log(folder / "typed.h5"); }),
                test::NamesFileAndDataset(folder / "typed.h5", "step"));
}

}  // namespace
}  // namespace tg::run
