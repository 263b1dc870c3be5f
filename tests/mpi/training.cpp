// Training over several ranks: the same losses, norms and weights as one process, in all shardings; checkpoints that
// any number of ranks reads.
#include <fmt/format.h>
#include <array>
#include <filesystem>

#include <gtest/gtest.h>

#include "checkpoint.hpp"
#include "mpi_world.hpp"
#include "schedule.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "unit/training/fixture.hpp"

namespace {

namespace fs = std::filesystem;
using tg::test::world;

// This rank's micro-batches of samples [first, first + count): a contiguous share, as many batches on every rank.
std::vector<tg::training::MicroBatch> share(const tg::models::VlmParts& parts, std::size_t first, std::size_t count,
                                            std::size_t micro, const tg::parallel::Communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto mine = tg::parallel::slice_of(count, static_cast<std::uint64_t>(ranks.rank()), size);
    auto batches = tg::fixture::batches(parts, first + mine.begin, mine.size(), micro);
    batches.resize(((count + size - 1) / size + micro - 1) / micro, tg::training::pack({}));
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
    Training(const tg::parallel::Communicator& ranks, const tg::training::TrainerOptions& options, std::size_t micro)
        : ranks_(ranks),
          micro_(micro),
          parts_(tg::models::VlmParts::describe(tg::fixture::model)),
          trainer_(*parts_, ranks, options) {}

    void steps(std::int64_t from, std::int64_t to) {
        const tg::training::Schedule schedule{2e-3, 0.15, 20};
        for (auto step = from; step < to; ++step) {
            const auto result = trainer_.step(share(*parts_, static_cast<std::size_t>(4 * step), 4, micro_, ranks_),
                                              schedule.rate(step), step);
            run.losses.push_back(result.loss);
            run.norms.push_back(result.gradient_norm);
        }
    }
    tg::training::Trainer& trainer() { return trainer_; }
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
    tg::training::TrainingLog log;

private:
    const tg::parallel::Communicator& ranks_;
    std::size_t micro_;
    std::unique_ptr<tg::models::VlmParts> parts_;
    tg::training::Trainer trainer_;
};

Run reference() {
    const auto solo = tg::parallel::make_solo();
    Training alone(*solo, {}, 4);
    alone.steps(0, 20);
    return alone.run;
}

constexpr std::array shardings{tg::training::Sharding::optimizer, tg::training::Sharding::full,
                               tg::training::Sharding::hybrid};
// Of Sharding::hybrid: two copies of the state where the ranks can be halved, else a copy a rank.
int shard_ranks() { return world().size() % 2 == 0 ? world().size() / 2 : 1; }

TEST(TrainingOverRanks, has_the_losses_and_norms_of_one_process) {
    const auto wanted = reference();
    for (const auto sharding : shardings)
        for (const bool sparing : {false, true}) {  // else packed rows that keep all activations
            tg::training::TrainerOptions options;
            options.sharding = sharding;
            options.shard_ranks = shard_ranks();
            options.activation_checkpointing = sparing;
            Training training(world(), options, sparing ? 1 : 4);  // one sample at a time: several micro-batches a step
            training.steps(0, 20);
            expect_same(training.run, wanted, 1e-4);
        }
}

TEST(TrainingOverRanks, has_on_gpus_the_losses_of_the_cpu) {
    if (!tg::layers::has_cuda() || static_cast<int>(torch::cuda::device_count()) < world().size())
        GTEST_SKIP() << "fewer GPUs than ranks here";
    const auto wanted = reference();
    for (const auto sharding : shardings) {
        tg::training::TrainerOptions options;
        options.device = torch::Device(torch::kCUDA, static_cast<torch::DeviceIndex>(world().rank()));
        options.sharding = sharding;
        options.shard_ranks = shard_ranks();
        Training training(world(), options, 4);
        training.steps(0, 20);
        expect_same(training.run, wanted, 1e-3);  // other kernels, other order of sums
    }
}

// Of a text, then of pictures that only some ranks have.
TEST(TrainingOverRanks, is_the_same_with_a_vision_tower_cut_over_the_ranks) {
    std::vector<std::vector<double>> losses;
    for (const bool cut : {false, true}) {
        const auto parts =
            tg::models::VlmParts::describe(fs::path(TG_SOURCE_DIR) / "tests/fixtures/internvl/tiny-internlm");
        tg::training::TrainerOptions options;
        options.sharding = tg::training::Sharding::full;
        options.shard_vision = cut;
        tg::training::Trainer trainer(*parts, world(), options);
        auto& found = losses.emplace_back();
        for (std::int64_t step = 0; step < 4; ++step) {
            const bool picture = step > 0 && (world().rank() == 0 || step == 2);
            tg::training::Sample sample{
                "s", picture ? "picture" : "", {{"What is this?", fmt::format("It is picture {}.", world().rank())}}};
            auto encoded = tg::training::encode_sample(sample, *parts, 1, 1024);
            const auto S = parts->vision->image_size;
            if (picture)
                encoded.pixels =
                    torch::sin(torch::arange(3 * S * S, torch::kFloat32) * (1 + world().rank())).view({1, 3, S, S});
            found.push_back(trainer.step({tg::training::pack({&encoded})}, 1e-3, step).loss);
        }
    }
    for (std::size_t i = 0; i < losses[0].size(); ++i)
        EXPECT_NEAR(losses[1][i], losses[0][i], 1e-6 * losses[0][i]) << "step " << i;
    EXPECT_NE(losses[0][0], losses[0][1]);
}

TEST(TrainingOverRanks, holds_its_share_of_the_state_only) {
    tg::training::TrainerOptions options;
    options.sharding = tg::training::Sharding::full;
    const auto solo = tg::parallel::make_solo();
    const Training whole_training(*solo, options, 4);
    auto& whole = const_cast<Training&>(whole_training).trainer();
    Training training(world(), options, 4);
    const auto ranks = static_cast<double>(world().size());
    const auto padding = static_cast<double>(
        whole.units().size() * 64 * 20);  // at most 64 elements a unit of weights, gradient, master and moments
    EXPECT_LE(static_cast<double>(training.trainer().bytes()), static_cast<double>(whole.bytes()) / ranks + padding);
}

// N ranks, S of them to a copy, P parameters: (S - 1) / S of the whole a gather or reduction, 2 (R - 1) / R of its
// slice the sum over R copies.
TEST(TrainingOverRanks, sends_what_the_arithmetic_says) {
    for (const auto sharding : shardings)
        for (const std::size_t micro : {std::size_t{4}, std::size_t{1}}) {
            tg::training::TrainerOptions options;
            options.sharding = sharding;
            options.shard_ranks = shard_ranks();
            Training training(world(), options, micro);
            const auto before = training.trainer().collectives().figures();
            training.steps(0, 1);
            const auto& after = training.trainer().collectives().figures();
            const auto N = static_cast<std::uint64_t>(world().size()),
                       S = sharding == tg::training::Sharding::hybrid ? static_cast<std::uint64_t>(shard_ranks()) : N,
                       R = N / S;
            const auto micro_batches = ((4 + N - 1) / N + micro - 1) / micro;
            std::uint64_t gathered = 0, reduced = 0, replicated = 0;
            for (const auto& unit : training.trainer().units()) {
                const auto share = (static_cast<std::uint64_t>(unit->elements()) + S - 1) / S,
                           bytes = 4 * ((share + 63) / 64 * 64);
                // Optimizer: gradients out and weights back, once a step. Else layers and projector are used twice a
                // micro-batch, the table and the head once.
                const auto uses =
                    sharding == tg::training::Sharding::optimizer
                        ? 1
                        : micro_batches * (unit->name().starts_with("layer") || unit->name() == "projector" ? 2 : 1);
                gathered += uses * (S - 1) * bytes;
                reduced += (sharding == tg::training::Sharding::optimizer ? 1 : micro_batches) * (S - 1) * bytes;
                replicated += 2 * bytes * (R - 1) / R;
            }
            EXPECT_EQ(after.gathered_bytes - before.gathered_bytes, gathered);
            EXPECT_EQ(after.reduced_bytes - before.reduced_bytes, reduced);
            EXPECT_EQ(after.replicated_bytes - before.replicated_bytes, replicated);
        }
}

TEST(TrainingOverRanks, goes_on_from_the_checkpoint_of_another_number_of_ranks) {
    const auto folder =
        fs::temp_directory_path() / ("tg_mpi_training_" + world().broadcast<std::string>(std::to_string(::getpid())));
    Training training(world(), {}, 4);
    training.steps(0, 4);
    tg::training::Checkpoints together(folder, "job", 2, world());
    together.write(4, training.trainer(), training.log);

    // The same ranks: the same bits.
    Training again(world(), {}, 4);
    ASSERT_EQ(together.read_newest(again.trainer(), again.log), 4);
    training.steps(4, 8);
    again.steps(4, 8);
    const auto a = training.weights(), b = again.weights();
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << "tensor " << i;
    // Every rank alone, as a world of one, and all together in full sharding.
    const auto solo = tg::parallel::make_solo();
    Training alone(*solo, {}, 4);
    ASSERT_EQ(tg::training::Checkpoints(folder, "job", 2, *solo).read_newest(alone.trainer(), alone.log), 4);
    alone.steps(4, 8);
    tg::training::TrainerOptions full;
    full.sharding = tg::training::Sharding::full;
    Training sharded(world(), full, 2);
    ASSERT_EQ(together.read_newest(sharded.trainer(), sharded.log), 4);
    sharded.steps(4, 8);
    expect_same(sharded.run, alone.run, 1e-5);
    full.sharding = tg::training::Sharding::hybrid;
    full.shard_ranks = shard_ranks();
    Training copied(world(), full, 2);
    ASSERT_EQ(together.read_newest(copied.trainer(), copied.log), 4);
    copied.steps(4, 8);
    expect_same(copied.run, alone.run, 1e-5);
    together.write(8, copied.trainer(), copied.log);  // by the first copy alone
    Training at_eight(world(), {}, 4);
    ASSERT_EQ(together.read_newest(at_eight.trainer(), at_eight.log), 8);
    const auto c = copied.weights(), d = at_eight.weights();
    for (std::size_t i = 0; i < c.size(); ++i) EXPECT_TRUE(torch::equal(c[i], d[i])) << "tensor " << i;
    expect_same(again.run, alone.run, 1e-5);
    world().barrier();
    if (world().is_root()) fs::remove_all(folder);
}

}  // namespace
