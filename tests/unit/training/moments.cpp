// AdamW's moments in 8 bits and on the host: what they cost, how far they lead away from fp32, and that a checkpoint
// gives the same bits.
#include "moments.hpp"

#include <gtest/gtest.h>

#include "checkpoint.hpp"
#include "fixture.hpp"
#include "schedule.hpp"

namespace {

using torch::Tensor;

TEST(BlockCodes, stay_near_their_values_and_become_themselves_again) {
    torch::manual_seed(3);
    const auto values = torch::randn({1000}) * torch::pow(10, torch::randn({1000}));
    for (const bool is_signed : {true, false}) {
        const auto wanted = is_signed ? values : values.abs();
        tg::training::BlockCodes codes(1000, torch::kCPU, is_signed), again(1000, torch::kCPU, is_signed);
        codes.write(0, wanted);
        const auto read = codes.read(0, 1000);
        for (std::int64_t begin = 0; begin < 1000; begin += 256) {
            const auto n = std::min<std::int64_t>(256, 1000 - begin);
            const auto largest = wanted.narrow(0, begin, n).abs().max().item<float>();
            // The coarsest steps of the map: 0.9 / 64 (signed) or 0.9 / 128 apart, half of it off at most; 0.007 below
            // one.
            EXPECT_LE((read - wanted).narrow(0, begin, n).abs().max().item<float>(),
                      largest * (is_signed ? 0.0075f : 0.004f));
            EXPECT_EQ(read.narrow(0, begin, n).abs().max().item<float>(), largest);
        }
        again.write(0, read);
        EXPECT_TRUE(torch::equal(again.read(0, 1000), read));
    }
    EXPECT_EQ(tg::training::Moments::bytes_of(1000, tg::training::MomentFormat::int8, false),
              2 * (4 * 256 + 4 * 4));  // two times four blocks of codes, a scale each
    tg::training::BlockCodes second(256, torch::kCPU, false);
    second.write(0, torch::cat({torch::tensor({1.0f, 1e-12f, 0.0f}), torch::zeros({253})}));
    EXPECT_GT(second.read(0, 256)[1].item<float>(), 0);  // else it would be divided by
    EXPECT_EQ(second.read(0, 256)[2].item<float>(), 0);
    tg::training::BlockCodes empty(256, torch::kCPU, true);
    empty.write(0, torch::zeros({256}));
    EXPECT_EQ(empty.read(0, 256).abs().max().item<float>(), 0);
}

struct Tuned {
    std::unique_ptr<tg::models::VlmParts> parts = tg::models::VlmParts::describe(tg::fixture::model);
    std::unique_ptr<tg::parallel::Communicator> solo = tg::parallel::make_solo();
    std::unique_ptr<tg::training::Trainer> trainer;
    std::vector<double> losses;

    explicit Tuned(tg::training::MomentFormat moments, double decay = 0) {
        tg::training::TrainerOptions options;
        options.moments = moments;
        options.adam.weight_decay = decay;
        trainer = std::make_unique<tg::training::Trainer>(*parts, *solo, options);
    }
    void steps(std::int64_t from, std::int64_t to) {
        const tg::training::Schedule schedule{2e-3, 0.15, 20};
        for (auto step = from; step < to; ++step)
            losses.push_back(trainer
                                 ->step(tg::fixture::batches(*parts, static_cast<std::size_t>(4 * step), 4, 4),
                                        schedule.rate(step), step)
                                 .loss);
    }
    Tensor weights() {
        std::vector<Tensor> all;
        for (auto& unit : trainer->units()) all.push_back(unit->master().clone());
        return torch::cat(all);
    }
};

TEST(Moments, in_8_bits_lead_to_the_same_losses_within_half_a_percent) {
    constexpr double decay = 0.05;  // of matrices: ranges that begin inside blocks
    Tuned wide(tg::training::MomentFormat::fp32, decay), narrow(tg::training::MomentFormat::int8, decay),
        host(tg::training::MomentFormat::host, decay);
    wide.steps(0, 20);
    narrow.steps(0, 20);
    host.steps(0, 20);
    for (std::size_t i = 0; i < 20; ++i)
        EXPECT_NEAR(narrow.losses[i], wide.losses[i], 0.005 * wide.losses[i]) << "step " << i;
    EXPECT_NE(narrow.losses.back(), wide.losses.back());
    EXPECT_EQ(host.losses, wide.losses);
    EXPECT_TRUE(torch::equal(host.weights(), wide.weights()));
}

TEST(Moments, in_8_bits_take_a_byte_and_a_64th_an_element) {
    Tuned wide(tg::training::MomentFormat::fp32), narrow(tg::training::MomentFormat::int8);
    std::int64_t wanted = 0;
    for (auto& unit : wide.trainer->units()) {
        const auto slice = (unit->elements() + 63) / 64 * 64;
        wanted += 8 * slice - 2 * (slice + 255) / 256 * (256 + 4);
    }
    const auto saved = wide.trainer->bytes() - narrow.trainer->bytes();
    EXPECT_NEAR(static_cast<double>(saved), static_cast<double>(wanted),
                2.0 * 260 * static_cast<double>(wide.trainer->units().size()));
    EXPECT_GT(static_cast<double>(saved), 0.74 * 8 * static_cast<double>(wide.weights().numel()));
}

TEST(Moments, in_8_bits_go_on_from_a_checkpoint_to_the_same_bits) {
    const tg::fixture::Scratch scratch("moments");
    tg::training::TrainingLog log;
    Tuned whole(tg::training::MomentFormat::int8), first(tg::training::MomentFormat::int8),
        second(tg::training::MomentFormat::int8);
    whole.steps(0, 6);
    first.steps(0, 3);
    tg::training::Checkpoints(scratch.path(), "job", 2, *first.solo).write(3, *first.trainer, log);
    ASSERT_EQ(tg::training::Checkpoints(scratch.path(), "job", 2, *second.solo).read_newest(*second.trainer, log), 3);
    second.steps(3, 6);
    EXPECT_TRUE(torch::equal(second.weights(), whole.weights()));
}

}  // namespace
