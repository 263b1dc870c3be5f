#include "memory_plan.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "taskgalaxy/core/text.hpp"

namespace {

tg::training::MemoryQuestion llava(bool large, std::int64_t shards) {
    tg::models::LanguageConfig config;  // the defaults are LLaMA-7B's
    if (large)
        config.hidden = 5120, config.intermediate = 13824, config.layers = 40, config.heads = config.kv_heads = 40;
    auto q = tg::training::memory_question(config, (1024 + 1) * config.hidden + (config.hidden + 1) * config.hidden);
    q.tower = 303'507'456;  // CLIP ViT-L/14-336
    q.width = q.tower_width = 2;
    q.sharding = tg::training::Sharding::full;
    q.activation_checkpointing = true;
    q.shards = shards;
    return q;
}

TEST(MemoryPlan, has_the_bytes_a_parameter_that_the_literature_says) {
    const double P[] = {6.759e9, 13.047e9};
    for (const bool large : {false, true}) {
        auto q = llava(large, 8);
        const auto full = tg::training::memory_plan(q);
        EXPECT_NEAR(static_cast<double>(full.state()), 18 * P[large] / 8,
                    2e-3 * 18 * P[large] / 8);  // ZeRO-3, fp32 gradients
        q.sharding = tg::training::Sharding::optimizer;
        const auto optimizer = tg::training::memory_plan(q);
        EXPECT_NEAR(static_cast<double>(optimizer.weights), 2 * P[large], 4e-3 * P[large]);
        EXPECT_NEAR(static_cast<double>(optimizer.optimizer), 12 * P[large] / 8, 3e-3 * P[large]);
        EXPECT_EQ(optimizer.gathered, 0);
    }
}

TEST(MemoryPlan, knows_the_state_of_a_trainer) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto solo = tg::parallel::make_solo();
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
        tg::training::TrainerOptions options;
        options.dtype = dtype;
        const tg::training::Trainer trainer(*parts, *solo, options);
        EXPECT_EQ(tg::training::memory_plan(tg::training::memory_question(*parts, options, 1)).state(),
                  trainer.bytes());
    }
}

TEST(MemoryPlan, knows_the_state_of_a_trainer_with_adapters_and_moments_of_8_bits) {
    const auto solo = tg::parallel::make_solo();
    for (const auto moments :
         {tg::training::MomentFormat::fp32, tg::training::MomentFormat::int8, tg::training::MomentFormat::host})
        for (const int rank : {0, 4}) {
            const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
            if (rank > 0) parts->language.add_adapters({.rank = rank, .alpha = 8});
            tg::training::TrainerOptions options;
            options.moments = moments;
            const tg::training::Trainer trainer(*parts, *solo, options);
            EXPECT_EQ(tg::training::memory_plan(tg::training::memory_question(*parts, options, 1)).state(),
                      trainer.bytes())
                << rank;
        }
}

TEST(MemoryLines, speak_of_the_ranks_and_the_sharding_that_the_job_asks_about) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    tg::training::TrainSettings settings;
    settings.device = tg::layers::DeviceChoice::cpu;
    settings.max_length = 100;
    settings.micro_batch = 4;
    const auto weights_of = [&](int ranks, tg::training::Sharding sharding) {
        settings.plan_ranks = ranks;
        settings.sharding = sharding;
        return tg::training::memory_lines(settings, *parts).front();
    };
    const auto alone = weights_of(1, tg::training::Sharding::optimizer),
               full = weights_of(4, tg::training::Sharding::full);
    EXPECT_EQ(alone.note, "1 ranks, sharding = optimizer");
    EXPECT_EQ(full.note, "4 ranks, sharding = full");
    const auto lines = tg::training::memory_lines(settings, *parts);
    ASSERT_EQ(lines.size(), 8u);
    EXPECT_TRUE(lines[4].note.starts_with("400 positions at once")) << lines[4].note;
    EXPECT_TRUE(lines[7].note.starts_with("fits: a rank has ")) << lines[7].note;
    double sum = 0;
    for (const auto& line : lines) EXPECT_EQ(line.unit, "GiB");
    for (std::size_t i = 0; i < 3; ++i) sum += lines[i].amount;  // weights, gradients, masters and moments
    EXPECT_GT(lines[7].amount, sum);
}

// The tables of docs/training.md, which this makes: GiB of one of 8 ranks, sharding = full, activation checkpointing,
// 2,048 positions a sample.
TEST(MemoryPlan, is_what_the_documentation_says) {
    const auto page = tg::read_text_file(std::filesystem::path(TG_SOURCE_DIR) / "docs/training.md");
    for (const bool large : {false, true})
        for (const std::int64_t micro : {16, 8, 4, 1}) {
            auto q = llava(large, 8);
            q.tokens = micro * 2048;
            q.tiles = micro, q.tower_positions = 577, q.tower_channels = 1024, q.image_values = 3 * 336 * 336;
            const auto plan = tg::training::memory_plan(q);
            const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
            const auto fits = [&](double gb) {
                return static_cast<double>(plan.peak) < (gb - 2) * 1e9 ? "yes" : "no";
            };  // 2 GB are CUDA's own
            const auto row = fmt::format(
                "| {} | {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {} | {} |",
                large ? "13B" : "7B", micro, gib(plan.weights), gib(plan.gradients), gib(plan.optimizer),
                gib(plan.tower), gib(plan.activations), gib(plan.gathered), gib(plan.logits), gib(plan.peak), fits(80),
                fits(40));
            EXPECT_NE(page.find(row), page.npos) << row;
        }
}

}  // namespace
