// Adapters against peft (tests/fixtures/vlm/make_lora.py): twenty steps from the same first values, in both shardings
// and over a checkpoint.
#include <gtest/gtest.h>

#include "checkpoint.hpp"
#include "fixture.hpp"
#include "schedule.hpp"
#include "taskgalaxy/core/error.hpp"

namespace {

namespace fs = std::filesystem;
using torch::Tensor;

torch::Tensor of_peft(const std::string& name) {
    static const tg::storage::SafetensorsFolder files(tg::fixture::folder / "lora.safetensors");
    const auto& info = files.info(name);
    auto tensor = torch::empty(info.shape, torch::dtype(tg::layers::torch_type(info.type)));
    files.read(name, {static_cast<std::byte*>(tensor.data_ptr()), static_cast<std::size_t>(info.bytes())});
    return tensor;
}

struct Adapted {
    std::unique_ptr<tg::models::VlmParts> parts = tg::models::VlmParts::describe(tg::fixture::model);
    std::unique_ptr<tg::parallel::Communicator> solo = tg::parallel::make_solo();
    std::unique_ptr<tg::training::Trainer> trainer;
    std::vector<double> losses, norms;

    explicit Adapted(const tg::training::TrainerOptions& options = {},
                     tg::layers::LoraOptions lora = {.rank = 4, .alpha = 8}, bool from_peft = true) {
        parts->language.add_adapters(lora);
        for (auto& layer : parts->language.layers)
            for (auto& parameter : layer.adapters()->parameters)
                if (from_peft)
                    parameter.begin = [values = of_peft("begin." + parameter.pieces[0].name)](const Tensor& into) {
                        into.copy_(values);
                    };
        trainer = std::make_unique<tg::training::Trainer>(*parts, *solo, options);
    }
    void steps(std::int64_t from, std::int64_t to, std::size_t micro) {
        const tg::training::Schedule schedule{2e-2, 0.15, 20};
        for (auto step = from; step < to; ++step) {
            const auto result = trainer->step(
                tg::fixture::batches(*parts, static_cast<std::size_t>(4 * step), 4, micro), schedule.rate(step), step);
            losses.push_back(result.loss);
            norms.push_back(result.gradient_norm);
        }
    }
    Tensor merged(std::size_t parameter, std::size_t piece) {
        auto& layer = parts->language.layers[2];
        auto& sharded = *trainer->units()[4];  // projector, embeddings, layers 0, 1, 2
        sharded.gather();
        const auto& matrix = layer.unit().parameters[parameter];
        const auto rows = matrix.rows_of(layer.merged(matrix), piece).clone();
        sharded.release();
        return rows;
    }
};

TEST(Lora, repeats_twenty_steps_of_peft_in_both_shardings) {
    const auto losses = of_peft("loss"), norms = of_peft("norm");
    for (const auto sharding : {tg::training::Sharding::optimizer, tg::training::Sharding::full}) {
        tg::training::TrainerOptions options;
        options.sharding = sharding;
        Adapted run(options);
        run.steps(0, 20, sharding == tg::training::Sharding::full ? 2 : 4);
        for (std::int64_t step = 0; step < 20; ++step) {
            const auto loss = losses[step].item<double>(), norm = norms[step].item<double>();
            EXPECT_NEAR(run.losses[static_cast<std::size_t>(step)], loss, 1e-4 * loss) << "step " << step;
            EXPECT_NEAR(run.norms[static_cast<std::size_t>(step)], norm, 1e-4 * norm) << "step " << step;
        }
        EXPECT_LT((run.merged(1, 0) - of_peft("merged.q_proj")).abs().max().item<double>(), 2e-4);
        EXPECT_LT((run.merged(5, 0) - of_peft("merged.down_proj")).abs().max().item<double>(), 2e-4);
    }
}

TEST(Lora, keeps_gradients_and_moments_of_adapters_and_projector_alone) {
    Adapted run;
    std::int64_t adapters = 0;
    for (auto& layer : run.parts->language.layers) adapters += layer.adapters()->elements();
    std::int64_t trained = 0;
    for (const auto& unit : run.trainer->units()) trained += unit->trained() ? unit->elements() : 0;
    EXPECT_EQ(trained, adapters + run.parts->projector->unit().elements());
    const auto before = run.parts->language.layers[1].unit().parameters[1].value.clone();
    run.steps(0, 3, 4);
    EXPECT_TRUE(torch::equal(before, run.parts->language.layers[1].unit().parameters[1].value));
    EXPECT_FALSE(run.parts->language.layers[1].unit().parameters[1].grad.defined());
}

TEST(Lora, goes_on_from_a_checkpoint_to_the_same_bits) {
    const tg::fixture::Scratch scratch("lora");
    tg::training::TrainingLog log;
    Adapted whole, first, second;
    whole.steps(0, 6, 4);
    first.steps(0, 3, 4);
    tg::training::Checkpoints(scratch.path(), "job", 2, *first.solo).write(3, *first.trainer, log);
    ASSERT_EQ(tg::training::Checkpoints(scratch.path(), "job", 2, *second.solo).read_newest(*second.trainer, log), 3);
    second.steps(3, 6, 4);
    EXPECT_TRUE(torch::equal(second.merged(5, 0), whole.merged(5, 0)));
}

TEST(Lora, begins_as_the_base_model_and_adapts_only_what_is_asked_for) {
    Adapted run({}, {.rank = 3, .alpha = 6, .targets = {"v_proj", "down_proj"}, .seed = 5}, false);
    auto& adapters = *run.parts->language.layers[0].adapters();
    ASSERT_EQ(adapters.parameters.size(), 4u);
    EXPECT_EQ(adapters.parameters[0].pieces[0].name, "language_model.model.layers.0.self_attn.v_proj.lora_A.weight");
    const auto a = adapters.parameters[0].value;
    EXPECT_LE(a.abs().max().item<double>(), 1 / std::sqrt(48.0));
    EXPECT_NEAR(a.square().mean().item<double>(), 1 / (3 * 48.0), 0.3 / 144);  // the variance of a uniform value
    EXPECT_FALSE(torch::equal(a, run.parts->language.layers[1].adapters()->parameters[0].value));
    const auto matrix = run.parts->language.layers[2].unit().parameters[1].value.clone();
    EXPECT_TRUE(torch::equal(run.merged(1, 2), run.parts->language.layers[2].unit().parameters[1].rows_of(matrix, 2)));
    run.steps(0, 3, 4);
    EXPECT_TRUE(torch::equal(run.merged(1, 0),
                             run.parts->language.layers[2].unit().parameters[1].rows_of(matrix, 0)));  // q: no adapter
    EXPECT_FALSE(
        torch::equal(run.merged(1, 2), run.parts->language.layers[2].unit().parameters[1].rows_of(matrix, 2)));  // v
}

}  // namespace
