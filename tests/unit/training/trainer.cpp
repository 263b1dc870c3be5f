// Twenty steps of fine-tuning against transformers with torch.optim.AdamW (tests/fixtures/vlm/make.py), and what must
// not change them.
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "schedule.hpp"

namespace {

using torch::Tensor;

struct Run {
    std::vector<double> losses, norms;
    Tensor down_proj;
};

Run twenty_steps(const tg::training::TrainerOptions& options, std::size_t micro_batch) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    tg::training::Trainer trainer(*parts, *solo, options);
    const tg::training::Schedule schedule{2e-3, 0.15, 20};
    Run run;
    for (std::int64_t step = 0; step < 20; ++step) {
        const auto result =
            trainer.step(tg::fixture::batches(*parts, static_cast<std::size_t>(4 * step), 4, micro_batch),
                         schedule.rate(step), step);
        run.losses.push_back(result.loss);
        run.norms.push_back(result.gradient_norm);
    }
    auto& unit = *trainer.units()[4];  // projector, embeddings, layers 0, 1, 2
    unit.gather();
    run.down_proj = parts->language.layers[2].unit().parameters.back().value.clone();
    unit.release();
    return run;
}

void expect_the_reference(const Run& run, double tolerance) {
    const auto losses = tg::fixture::expected("sft.loss"), norms = tg::fixture::expected("sft.norm");
    for (std::int64_t step = 0; step < 20; ++step) {
        const auto loss = losses[step].item<double>(), norm = norms[step].item<double>();
        EXPECT_NEAR(run.losses[static_cast<std::size_t>(step)], loss, tolerance * loss) << "step " << step;
        EXPECT_NEAR(run.norms[static_cast<std::size_t>(step)], norm, tolerance * norm) << "step " << step;
    }
}

TEST(Trainer, repeats_twenty_steps_of_the_reference) {
    const auto run = twenty_steps({}, 4);
    expect_the_reference(run, 1e-4);
    EXPECT_LT((run.down_proj - tg::fixture::expected("sft.down_proj")).abs().max().item<double>(), 1e-4);
}

TEST(Trainer, gives_the_same_with_accumulation_recomputation_small_loss_chunks_and_full_sharding) {
    tg::training::TrainerOptions options;
    expect_the_reference(twenty_steps(options, 1), 1e-4);
    options.activation_checkpointing = true;
    expect_the_reference(twenty_steps(options, 4), 1e-4);
    options.activation_checkpointing = false;
    options.loss_chunk = 3;
    expect_the_reference(twenty_steps(options, 2), 1e-4);
    options.sharding = tg::training::Sharding::full;
    expect_the_reference(twenty_steps(options, 2), 1e-4);
}

TEST(Trainer, stays_close_to_the_reference_in_bf16) {
    tg::training::TrainerOptions options;
    options.dtype = torch::kBFloat16;
    const auto run = twenty_steps(options, 4);
    const auto losses = tg::fixture::expected("sft.loss");
    for (std::int64_t step = 0; step < 20; ++step)
        EXPECT_NEAR(run.losses[static_cast<std::size_t>(step)], losses[step].item<double>(),
                    0.03 * losses[step].item<double>())
            << "step " << step;
}

TEST(Trainer, has_the_gradients_of_autograd) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    tg::training::Trainer trainer(*parts, *solo, {});
    trainer.step(tg::fixture::batches(*parts, 0, 4, 4), 0.0, 0);
    const auto close = [](const Tensor& got, const Tensor& wanted) {
        return (got - wanted).abs().max().item<double>() / wanted.abs().max().item<double>();
    };
    const auto& qkv = parts->language.layers[1].unit().parameters[1];
    EXPECT_LT(close(qkv.rows_of(qkv.grad, 1), tg::fixture::expected("gradient.k_proj")), 1e-4);
    EXPECT_LT(close(parts->projector->unit().parameters[0].grad, tg::fixture::expected("gradient.linear_1")), 1e-4);
    EXPECT_LT(close(parts->language.embeddings.parameters[0].grad, tg::fixture::expected("gradient.embed")), 1e-4);
}

TEST(Trainer, changes_nothing_where_the_loss_is_no_number) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    tg::training::Trainer trainer(*parts, *solo, {});
    auto batches = tg::fixture::batches(*parts, 0, 4, 4);
    batches[0].pixels.fill_(std::numeric_limits<float>::quiet_NaN());
    const auto before = trainer.units()[2]->master().clone();
    EXPECT_FALSE(trainer.step(batches, 1e-3, 0).finite);
    EXPECT_TRUE(torch::equal(before, trainer.units()[2]->master()));
}

TEST(Trainer, leaves_frozen_parts_alone) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    tg::training::TrainerOptions options;
    options.train_language = false;
    tg::training::Trainer trainer(*parts, *solo, options);
    const auto layer = parts->language.layers[0].unit().parameters[1].value.clone();
    const auto projector = parts->projector->unit().parameters[0].value.clone();
    trainer.step(tg::fixture::batches(*parts, 0, 4, 4), 1e-3, 0);
    EXPECT_TRUE(torch::equal(layer, parts->language.layers[0].unit().parameters[1].value));
    EXPECT_FALSE(torch::equal(projector, parts->projector->unit().parameters[0].value));
}

TEST(Trainer, clips_the_global_norm) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    tg::training::TrainerOptions options;
    options.clip_norm = 0.01;
    options.adam.epsilon = 1e3;  // makes the step proportional to the gradient
    tg::training::Trainer trainer(*parts, *solo, options);
    std::vector<Tensor> before;
    for (auto& unit : trainer.units()) before.push_back(unit->master().clone());
    EXPECT_GT(trainer.step(tg::fixture::batches(*parts, 0, 4, 4), 1e3, 0).gradient_norm, 0.01);
    double squares = 0;
    for (std::size_t i = 0; i < before.size(); ++i)
        squares += (trainer.units()[i]->master() - before[i]).square().sum().item<double>();
    EXPECT_NEAR(std::sqrt(squares), 0.01, 1e-4);
}

}  // namespace
