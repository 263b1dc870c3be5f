#include "checkpoint.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "fixture.hpp"
#include "taskgalaxy/core/error.hpp"

namespace {

namespace fs = std::filesystem;

struct Training {
    std::unique_ptr<tg::models::VlmParts> parts = tg::models::VlmParts::describe(tg::fixture::model);
    std::unique_ptr<tg::parallel::Communicator> solo = tg::parallel::make_solo();
    tg::training::Trainer trainer{*parts, *solo, {}};
    tg::training::TrainingLog log;

    void steps(std::int64_t from, std::int64_t to) {
        for (auto step = from; step < to; ++step) {
            const auto result =
                trainer.step(tg::fixture::batches(*parts, static_cast<std::size_t>(4 * step), 4, 4), 1e-3, step);
            log.add({.step = static_cast<double>(step), .loss = result.loss});
        }
    }
    torch::Tensor weights() {
        std::vector<torch::Tensor> all;
        for (auto& unit : trainer.units()) all.push_back(unit->master());
        return torch::cat(all);
    }
};

void flip_byte(const fs::path& file, std::uintmax_t at) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(stream.get() ^ 0x10);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
}

TEST(Checkpoints, go_on_to_the_same_bits_as_an_uninterrupted_run) {
    const tg::fixture::Scratch scratch("resume");
    Training whole;
    whole.steps(0, 6);
    {
        Training first;
        first.steps(0, 3);
        tg::training::Checkpoints(scratch.path(), "job", 2, *first.solo).write(3, first.trainer, first.log);
    }
    Training second;
    ASSERT_EQ(tg::training::Checkpoints(scratch.path(), "job", 2, *second.solo).read_newest(second.trainer, second.log),
              3);
    ASSERT_EQ(second.log.rows().size(), 3u);
    second.steps(3, 6);
    EXPECT_TRUE(torch::equal(second.weights(), whole.weights()));
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(second.log.rows()[i].loss, whole.log.rows()[i].loss);
}

TEST(Checkpoints, keep_the_last_ones_and_fall_back_from_a_broken_one) {
    const tg::fixture::Scratch scratch("broken");
    Training training;
    tg::training::Checkpoints checkpoints(scratch.path(), "job", 2, *training.solo);
    training.steps(0, 1);
    checkpoints.write(1, training.trainer, training.log);
    training.steps(1, 2);
    checkpoints.write(2, training.trainer, training.log);
    const auto at_two = training.weights().clone();
    training.steps(2, 3);
    checkpoints.write(3, training.trainer, training.log);
    EXPECT_FALSE(fs::exists(scratch.path() / "step-00000001.h5"));
    const auto newest = scratch.path() / "step-00000003.h5";
    ASSERT_TRUE(fs::exists(newest));
    const auto size = fs::file_size(newest);
    for (const auto& damage : std::vector<std::function<void()>>{[&] { flip_byte(newest, size / 2); },
                                                                 [&] { fs::resize_file(newest, size / 2); },
                                                                 [&] { fs::resize_file(newest, 0); }}) {
        damage();
        Training again;
        EXPECT_EQ(checkpoints.read_newest(again.trainer, again.log), 2);
        EXPECT_TRUE(torch::equal(again.weights(), at_two));
        EXPECT_EQ(again.log.rows().size(), 2u);
    }
    fs::resize_file(scratch.path() / "step-00000002.h5", 10);
    Training again;
    EXPECT_THROW(checkpoints.read_newest(again.trainer, again.log), tg::StorageError);
}

// With room for copies of everything, of one unit at a time, and of none: then the optimiser waits.
TEST(Checkpoints, hold_the_state_of_their_beginning_while_training_goes_on) {
    for (const std::int64_t room : {std::int64_t{1} << 30, std::int64_t{1} << 17, std::int64_t{0}}) {
        const tg::fixture::Scratch scratch("behind");
        Training training;
        training.steps(0, 3);
        const auto at_three = training.weights().clone();
        tg::training::Checkpoints checkpoints(scratch.path(), "job", 2, *training.solo, room);
        checkpoints.begin(3, training.trainer, training.log);
        training.steps(3, 5);
        checkpoints.finish();
        EXPECT_TRUE(checkpoints.poll());
        Training again;
        ASSERT_EQ(checkpoints.read_newest(again.trainer, again.log), 3);
        EXPECT_TRUE(torch::equal(again.weights(), at_three));
        again.steps(3, 5);
        EXPECT_TRUE(torch::equal(again.weights(), training.weights()));
    }
}

TEST(Checkpoints, dropped_ones_leave_nothing_that_is_used) {
    const tg::fixture::Scratch scratch("dropped");
    Training training;
    { tg::training::Checkpoints(scratch.path(), "job", 2, *training.solo).begin(1, training.trainer, training.log); }
    Training again;
    EXPECT_EQ(tg::training::Checkpoints(scratch.path(), "job", 2, *again.solo).read_newest(again.trainer, again.log),
              0);
    EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(CheckpointChecksum, adds_up_over_any_cut_and_sees_every_bit) {
    std::vector<float> values;
    for (int i = 0; i < 1000; ++i) values.push_back(std::sin(static_cast<float>(i)));
    const auto whole = tg::training::checkpoint_checksum(values, 7);
    for (const std::size_t cut : {0u, 1u, 333u, 1000u}) {
        const std::span all(values);
        EXPECT_EQ(tg::training::checkpoint_checksum(all.first(cut), 7) +
                      tg::training::checkpoint_checksum(all.subspan(cut), 7 + cut),
                  whole);
    }
    for (int bit = 0; bit < 32; ++bit) {
        auto changed = values;
        std::uint32_t bits;
        std::memcpy(&bits, &changed[500], 4);
        bits ^= 1u << bit;
        std::memcpy(&changed[500], &bits, 4);
        EXPECT_NE(tg::training::checkpoint_checksum(changed, 7), whole);
    }
    std::swap(values[3], values[4]);
    EXPECT_NE(tg::training::checkpoint_checksum(values, 7), whole);
}

TEST(Checkpoints, of_other_settings_are_not_used) {
    const tg::fixture::Scratch scratch("foreign");
    Training training;
    training.steps(0, 1);
    tg::training::Checkpoints(scratch.path(), "one job", 2, *training.solo).write(1, training.trainer, training.log);
    Training other;
    EXPECT_EQ(
        tg::training::Checkpoints(scratch.path(), "another", 2, *other.solo).read_newest(other.trainer, other.log), 0);
    EXPECT_TRUE(other.log.rows().empty());
}

}  // namespace
