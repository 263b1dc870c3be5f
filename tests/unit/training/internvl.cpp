// Fine-tuning of tiny InternVLs: steps against transformers and torch (tests/fixtures/internvl/make.py), and the stage
// with tiles.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "schedule.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/training/train_stage.hpp"

namespace {

namespace fs = std::filesystem;
using torch::Tensor;

const fs::path internvl = fs::path(TG_SOURCE_DIR) / "tests/fixtures/internvl";

Tensor figure(const std::string& name) { return tg::fixture::expected("internlm." + name, internvl); }

// Conversation i with 1 + i % 3 tiles.
tg::training::EncodedSample tiled_sample(const tg::models::VlmParts& parts, std::int64_t i) {
    static const auto rows = nlohmann::json::parse(std::ifstream(internvl / "conversations.json"))["rows"];
    const auto& row = rows[static_cast<std::size_t>(i)];
    const bool has_image = row["has_image"].get<bool>();
    tg::training::Sample sample{std::to_string(i), has_image ? "picture" : "", {}};
    for (const auto& turn : row["turns"])
        sample.turns.push_back({turn[0].get<std::string>(), turn[1].get<std::string>()});
    const auto tiles = 1 + i % 3;
    auto encoded = tg::training::encode_sample(sample, parts, tiles, 1024);
    std::vector<Tensor> pixels;
    for (std::int64_t t = 0; t < tiles; ++t) pixels.push_back(figure("pictures")[(i + t) % 10]);
    if (has_image) encoded.pixels = torch::stack(pixels);
    return encoded;
}

TEST(InternVlTrainer, repeats_twenty_steps_of_the_reference_whatever_the_micro_batch) {
    for (const std::size_t micro_batch : {2, 1}) {
        const auto parts = tg::models::VlmParts::describe(internvl / "tiny-internlm");
        const auto solo = tg::parallel::make_solo();
        tg::training::Trainer trainer(*parts, *solo, {});
        const tg::training::Schedule schedule{2e-3, 0.15, 20};
        const auto losses = figure("loss"), norms = figure("norm");
        for (std::int64_t step = 0; step < 20; ++step) {
            const auto first = tiled_sample(*parts, 2 * step), second = tiled_sample(*parts, 2 * step + 1);
            const auto batches = micro_batch == 2
                                     ? std::vector{tg::training::pack({&first, &second})}
                                     : std::vector{tg::training::pack({&first}), tg::training::pack({&second})};
            const auto result = trainer.step(batches, schedule.rate(step), step);
            EXPECT_NEAR(result.loss, losses[step].item<double>(), 1e-4 * losses[step].item<double>())
                << "step " << step;
            EXPECT_NEAR(result.gradient_norm, norms[step].item<double>(), 1e-4 * norms[step].item<double>())
                << "step " << step;
            if (step > 0) continue;
            const auto close = [](const Tensor& got, const Tensor& wanted) {
                return (got - wanted).abs().max().item<double>() / wanted.abs().max().item<double>();
            };
            const auto& projector = parts->projector->unit().parameters;
            EXPECT_LT(close(projector[0].grad, figure("gradient.norm_weight")), 1e-4);
            EXPECT_LT(close(projector[1].grad, figure("gradient.norm_bias")), 1e-4);
            const auto& qkv = parts->language.layers[1].unit().parameters[1];
            EXPECT_LT(close(qkv.grad.narrow(0, 48, 16), figure("gradient.k_proj")),
                      1e-4);  // six heads of 8 queries in front
        }
    }
}

TEST(InternVlStage, learns_from_pictures_of_several_tiles_with_and_without_the_cache_and_exports) {
    const tg::fixture::Scratch scratch("internvl_stage");
    std::ofstream data(scratch.path() / "data.json");
    const std::pair<int, int> sizes[] = {{40, 30}, {90, 30}, {32, 32}, {20, 80}};
    data << "[";
    for (int i = 0; i < 8; ++i) {
        const auto [width, height] = sizes[i % 4];
        tg::pictures::Image image{width, height,
                                  std::vector<std::uint8_t>(static_cast<std::size_t>(width * height) * 3)};
        for (std::size_t p = 0; p < image.rgb.size(); ++p)
            image.rgb[p] = static_cast<std::uint8_t>(p * 7 + static_cast<std::size_t>(i) * 31);
        const auto bytes = tg::pictures::encode_jpeg(image, 90);
        std::ofstream(scratch.path() / (std::to_string(i % 4) + ".jpg"), std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        data << (i ? "," : "") << R"({"id": ")" << i << R"(", "image": ")" << i % 4
             << R"(.jpg", "conversations": [{"from": "human", "value": "How wide is it?"}, {"from": "gpt", )"
                R"("value": "About )"
             << width << R"("}]})";
    }
    data << "]";
    data.close();
    std::vector<std::vector<double>> losses;
    for (const int cache : {0, 16}) {
        tg::training::TrainSettings settings;
        settings.model = internvl / "tiny-internlm";
        settings.data = {scratch.path() / "data.json"};
        settings.image_root = scratch.path();
        settings.global_batch = 4;
        settings.micro_batch = 2;
        settings.epochs = 3;
        settings.learning_rate = 2e-3;
        settings.feature_cache_mib = cache;
        const auto stage = tg::training::make_train_stage(settings, {});
        stage->check();
        const auto solo = tg::parallel::make_solo();
        tg::run::StageContext context{*solo, tg::run::Paths(scratch.path() / ("run" + std::to_string(cache))),
                                      "fingerprint"};
        fs::create_directories(context.paths.root());
        stage->run(context);
        const auto log = tg::storage::Hdf5File::open(context.paths.file("training_log.h5"));
        losses.push_back(log.read<double>("loss"));
        EXPECT_LT(losses.back().back(), losses.back().front());
        EXPECT_EQ(log.int_attribute("samples_left_out"), 0);
        const tg::storage::SafetensorsFolder before(settings.model), after(context.paths.exported() / "model");
        for (const auto& [name, info] : before.tensors()) EXPECT_EQ(after.info(name).shape, info.shape) << name;
        const auto tuned = tg::models::VisionLanguageModel::load(context.paths.exported() / "model");
        const auto base = tg::models::VisionLanguageModel::load(settings.model);
        EXPECT_FALSE(torch::equal(tuned.parts().language.layers[0].unit().parameters[1].value,
                                  base.parts().language.layers[0].unit().parameters[1].value));
        // What was not trained is what it was.
        const auto tile = torch::ones({1, 3, 48, 48});
        EXPECT_TRUE(torch::equal(tuned.parts().vision->features(tile), base.parts().vision->features(tile)));
    }
    for (std::size_t step = 0; step < losses[0].size(); ++step)
        EXPECT_NEAR(losses[0][step], losses[1][step], 1e-5) << step;
}

}  // namespace
