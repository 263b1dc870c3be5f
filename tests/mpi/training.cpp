// Training over several ranks: the same losses, norms and weights as one process, in both shardings; checkpoints that any number of ranks reads.
#include <filesystem>

#include <gtest/gtest.h>

#include "checkpoint.hpp"
#include "mpi_world.hpp"
#include "schedule.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "unit/training/fixture.hpp"

namespace {

namespace fs = std::filesystem;
using tg::test::world;

// This rank's micro-batches of samples [first, first + count): a contiguous share, as many batches on every rank.
std::vector<tg::MicroBatch> share(const tg::VlmParts& parts, std::size_t first, std::size_t count, std::size_t micro, const tg::Communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto mine = tg::slice_of(count, static_cast<std::uint64_t>(ranks.rank()), size);
    auto batches = tg::fixture::batches(parts, first + mine.begin, mine.size(), micro);
    batches.resize(((count + size - 1) / size + micro - 1) / micro, tg::pack({}));
    return batches;
}

struct Run {
    std::vector<double> losses, norms;
};

void expect_same(const Run& got, const Run& wanted, double tolerance) {
    ASSERT_EQ(got.losses.size(), wanted.losses.size());
    for (std::size_t i = 0; i < got.losses.size(); ++i) {
        EXPECT_NEAR(got.losses[i], wanted.losses[i], tolerance * wanted.losses[i]) << "step " << i;
        EXPECT_NEAR(got.norms[i], wanted.norms[i], tolerance * wanted.norms[i]) << "step " << i;
    }
}

class Training {
public:
    Training(const tg::Communicator& ranks, const tg::TrainerOptions& options, std::size_t micro) : ranks_(ranks), micro_(micro), parts_(tg::VlmParts::describe(tg::fixture::model)), trainer_(*parts_, ranks, options) {}

    void steps(std::int64_t from, std::int64_t to) {
        const tg::Schedule schedule{2e-3, 0.15, 20};
        for (auto step = from; step < to; ++step) {
            const auto result = trainer_.step(share(*parts_, static_cast<std::size_t>(4 * step), 4, micro_, ranks_), schedule.rate(step), step);
            run.losses.push_back(result.loss);
            run.norms.push_back(result.gradient_norm);
        }
    }
    tg::Trainer& trainer() { return trainer_; }
    // Every unit's weights, whole, on every rank.
    std::vector<torch::Tensor> weights() {
        std::vector<torch::Tensor> all;
        std::size_t index = 0;
        for (auto* unit : parts_->units()) {
            auto& sharded = *trainer_.units()[index++];
            sharded.gather();
            for (const auto& parameter : unit->parameters) all.push_back(parameter.value.clone());
            sharded.release();
        }
        return all;
    }
    Run run;
    tg::TrainingLog log;

private:
    const tg::Communicator& ranks_;
    std::size_t micro_;
    std::unique_ptr<tg::VlmParts> parts_;
    tg::Trainer trainer_;
};

Run reference() {
    const auto solo = tg::make_solo();
    Training alone(*solo, {}, 4);
    alone.steps(0, 20);
    return alone.run;
}

TEST(TrainingOverRanks, has_the_losses_and_norms_of_one_process) {
    const auto wanted = reference();
    for (const auto sharding : {tg::Sharding::optimizer, tg::Sharding::full})
        for (const bool recompute : {false, true})
            for (const std::size_t micro : {std::size_t{4}, std::size_t{1}}) {
                tg::TrainerOptions options;
                options.sharding = sharding;
                options.activation_checkpointing = recompute;
                Training training(world(), options, micro);
                training.steps(0, 20);
                expect_same(training.run, wanted, 1e-4);
            }
}

TEST(TrainingOverRanks, holds_its_share_of_the_state_only) {
    tg::TrainerOptions options;
    options.sharding = tg::Sharding::full;
    const auto solo = tg::make_solo();
    const Training whole_training(*solo, options, 4);
    auto& whole = const_cast<Training&>(whole_training).trainer();
    Training training(world(), options, 4);
    const auto ranks = static_cast<double>(world().size());
    const auto padding = static_cast<double>(whole.units().size() * 64 * 20);  // at most 64 elements a unit of weights, gradient, master and moments
    EXPECT_LE(static_cast<double>(training.trainer().bytes()), static_cast<double>(whole.bytes()) / ranks + padding);
}

TEST(TrainingOverRanks, sends_what_the_arithmetic_says) {
    Training training(world(), {}, 4);
    const auto& figures = training.trainer().collectives().figures();
    const auto before = figures.bytes_sent;
    training.steps(0, 1);
    std::uint64_t wanted = 0;  // fp32 gradients out, fp32 weights back, a slice to each other rank
    const auto ranks = static_cast<std::uint64_t>(world().size());
    for (const auto& unit : training.trainer().units()) {
        const auto slice = (static_cast<std::uint64_t>(unit->elements()) + ranks - 1) / ranks;
        wanted += 2 * 4 * (ranks - 1) * ((slice + 63) / 64 * 64);
    }
    EXPECT_EQ(figures.bytes_sent - before, wanted);
}

TEST(TrainingOverRanks, goes_on_from_the_checkpoint_of_another_number_of_ranks) {
    const auto folder = fs::temp_directory_path() / ("tg_mpi_training_" + world().broadcast_text(std::to_string(::getpid())));
    Training training(world(), {}, 4);
    training.steps(0, 4);
    const tg::Checkpoints together(folder, "job", 2, world());
    together.write(4, training.trainer(), training.log);

    // The same ranks: the same bits.
    Training again(world(), {}, 4);
    ASSERT_EQ(together.read_newest(again.trainer(), again.log), 4);
    training.steps(4, 8);
    again.steps(4, 8);
    const auto a = training.weights(), b = again.weights();
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << "tensor " << i;
    // Every rank alone, as a world of one, and all together in full sharding.
    const auto solo = tg::make_solo();
    Training alone(*solo, {}, 4);
    ASSERT_EQ(tg::Checkpoints(folder, "job", 2, *solo).read_newest(alone.trainer(), alone.log), 4);
    alone.steps(4, 8);
    tg::TrainerOptions full;
    full.sharding = tg::Sharding::full;
    Training sharded(world(), full, 2);
    ASSERT_EQ(together.read_newest(sharded.trainer(), sharded.log), 4);
    sharded.steps(4, 8);
    expect_same(sharded.run, alone.run, 1e-5);
    expect_same(again.run, alone.run, 1e-5);
    world().barrier();
    if (world().is_root()) fs::remove_all(folder);
}

}  // namespace
