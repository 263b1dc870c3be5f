// The job files of published recipes: each is read as the program reads it, and says what the papers' training scripts
// say.
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "taskgalaxy/pipeline/job.hpp"

namespace {

using namespace tg::training;

struct Recipe {
    const char* file;
    double rate, decay;
    Decay what_decays;
    double clip;
    int max_length, max_tiles, micro, ranks, accumulation;
    const char* style;
    std::optional<bool> pad;
    GroupBy group;
};

// LLaVA scripts/v1_5/finetune.sh; InternVL internvl_chat_llava/scripts; InternVL
// internvl_chat/shell/internvl2.0/2nd_finetune.
constexpr std::array recipes{
    Recipe{"llava-v1.5-7b", 2e-5, 0, Decay::matrices, 0, 2048, 0, 16, 8, 1, "vicuna_v1", true, GroupBy::modality},
    Recipe{"llava-v1.5-13b", 2e-5, 0, Decay::matrices, 0, 2048, 0, 16, 8, 1, "vicuna_v1", true, GroupBy::modality},
    Recipe{"internvl-chat-v1.0-7b", 2e-5, 0, Decay::matrices, 0, 2048, 0, 16, 8, 1, "vicuna_v1", true,
           GroupBy::modality},
    Recipe{"internvl-chat-v1.0-13b", 2e-5, 0, Decay::matrices, 0, 2048, 0, 16, 8, 1, "vicuna_v1", true,
           GroupBy::modality},
    Recipe{"internvl2-8b", 4e-5, 0.05, Decay::all, 1, 4096, 6, 4, 8, 4, "auto", std::nullopt, GroupBy::none},
};

tg::pipeline::Job read(const std::string& name) {
    const auto file = std::filesystem::path(TG_SOURCE_DIR) / "jobs" / (name + ".cfg");
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    tg::pipeline::Job job;
    job.read(file.string(), text.str(), {});
    return job;
}

TEST(Recipes, say_what_was_published) {
    for (const auto& recipe : recipes) {
        SCOPED_TRACE(recipe.file);
        const auto train = read(recipe.file).train;
        EXPECT_EQ(train.learning_rate, recipe.rate);
        EXPECT_EQ(train.weight_decay, recipe.decay);
        EXPECT_EQ(train.decay, recipe.what_decays);
        EXPECT_EQ(train.clip_norm, recipe.clip);
        EXPECT_EQ(train.max_length, recipe.max_length);
        EXPECT_EQ(train.max_tiles, recipe.max_tiles);
        EXPECT_EQ(train.micro_batch, recipe.micro);
        EXPECT_EQ(train.global_batch, recipe.micro * recipe.ranks * recipe.accumulation);
        EXPECT_EQ(train.style, recipe.style);
        EXPECT_EQ(train.pad_images, recipe.pad);
        EXPECT_EQ(train.group_by, recipe.group);
        // The same everywhere.
        EXPECT_EQ(train.epochs, 1);
        EXPECT_EQ(train.max_steps, 0);
        EXPECT_EQ(train.schedule, RateSchedule::cosine);
        EXPECT_EQ(train.warmup_ratio, 0.03);
        EXPECT_EQ(train.projector_learning_rate, 0);
        EXPECT_EQ(train.beta1, 0.9);
        EXPECT_EQ(train.beta2, 0.999);
        EXPECT_EQ(train.epsilon, 1e-8);
        EXPECT_EQ(train.train_parts, TrainParts::all);
        EXPECT_EQ(train.precision, Precision::bf16);
        EXPECT_EQ(train.sharding, Sharding::full);
        EXPECT_TRUE(train.activation_checkpointing);
        EXPECT_FALSE(train.model.empty());
        EXPECT_EQ(train.data.size(), 1u);
    }
}

TEST(Recipes, are_all_tested) {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(TG_SOURCE_DIR) / "jobs")) {
        const auto name = entry.path().filename().string();
        files += entry.path().extension() == ".cfg" && (name.starts_with("llava") || name.starts_with("internvl"));
    }
    EXPECT_EQ(files, recipes.size());
}

}  // namespace
