#include "clip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/storage/safetensors.hpp"
#include "temporary_folder.hpp"
#include "unit/nn/fixtures.hpp"

namespace tg::models {
namespace {

namespace fs = std::filesystem;
using test::fixtures;
using Json = nlohmann::json;

// The formula of make_clip_fixtures.py.
torch::Tensor fixture_pixels() {
    auto pixels = torch::empty({5, 3, 32, 32});
    for (std::int64_t i = 0; i < pixels.numel(); ++i)
        pixels.data_ptr<float>()[i] = static_cast<float>(std::sin(static_cast<double>(i) * 0.37) * 1.5);
    return pixels;
}

torch::Tensor rows_of(const Json& rows) {
    auto out = torch::empty({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())});
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t j = 0; j < rows[i].size(); ++j)
            out[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)] = rows[i][j].get<float>();
    return out;
}

std::vector<std::vector<std::int64_t>> ids_of(const DualEncoder& model, const std::vector<std::string>& texts) {
    std::vector<std::vector<std::int64_t>> ids;
    for (const auto& text : texts) ids.push_back(model.tokenizer().encode(text));
    return ids;
}

float least_cosine(const torch::Tensor& a, const torch::Tensor& b) { return (a * b).sum(-1).min().item<float>(); }

class ClipTest : public ::testing::TestWithParam<const char*> {
protected:
    const fs::path folder = fixtures("clip") / GetParam();
    const Json expected = Json::parse(read_text_file(folder / "expected.json"));
};

TEST_P(ClipTest, gives_the_vectors_that_transformers_gives) {
    const auto model = load_dual_encoder(folder);
    EXPECT_EQ(model->dim(), 16);
    EXPECT_EQ(model->image_size(), 32);
    const auto images = model->encode_images(fixture_pixels());
    const auto texts = model->encode_texts(ids_of(*model, expected["texts"].get<std::vector<std::string>>()));
    EXPECT_LT((images - rows_of(expected["images"])).abs().max().item<float>(), 2e-5f);
    EXPECT_LT((texts - rows_of(expected["text_rows"])).abs().max().item<float>(), 2e-5f);
    EXPECT_LT((images.norm(2, -1) - 1).abs().max().item<float>(), 1e-6f);
}

TEST_P(ClipTest, bf16_stays_close) {
    const auto model = load_dual_encoder(folder, torch::kCPU, torch::kBFloat16);
    EXPECT_GT(least_cosine(model->encode_images(fixture_pixels()), rows_of(expected["images"])), 0.995f);
    EXPECT_GT(least_cosine(model->encode_texts(ids_of(*model, expected["texts"].get<std::vector<std::string>>())),
                           rows_of(expected["text_rows"])),
              0.995f);
}

TEST_P(ClipTest, the_same_bits_on_one_thread_and_on_two_and_in_batches_of_any_multiple_of_the_slice) {
    const auto model = load_dual_encoder(folder);
    const auto pixels = torch::randn({19, 3, 32, 32}, torch::make_generator<at::CPUGeneratorImpl>(5));
    const auto threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = model->encode_images(pixels);
    at::set_num_threads(2);
    const auto two = model->encode_images(pixels);
    at::set_num_threads(threads);
    EXPECT_TRUE(torch::equal(one, two));
    const auto apart =
        torch::cat({model->encode_images(pixels.narrow(0, 0, 16)), model->encode_images(pixels.narrow(0, 16, 3))});
    EXPECT_TRUE(torch::equal(one, apart));
}

TEST_P(ClipTest, cuda_agrees_with_the_cpu) {
    if (!layers::has_cuda()) GTEST_SKIP() << "no CUDA device here";
    const auto on_cpu = load_dual_encoder(folder);
    const auto on_cuda = load_dual_encoder(folder, layers::choose_device(layers::DeviceChoice::cuda));
    EXPECT_GT(least_cosine(on_cuda->encode_images(fixture_pixels()), on_cpu->encode_images(fixture_pixels())), 0.9999f);
}

INSTANTIATE_TEST_SUITE_P(of_both_kinds, ClipTest, ::testing::Values("quick", "exact"),
                         [](const auto& about) { return std::string(about.param); });

std::string error_of_loading(const fs::path& folder) {
    try {
        load_dual_encoder(folder);
    } catch (const InputError& error) {
        return error.what();
    }
    return "no InputError was thrown";
}

// A copy of the `quick` folder whose weights or config can be spoilt.
class SpoiltClipTest : public ::testing::Test {
protected:
    SpoiltClipTest() {
        fs::copy(fixtures("clip") / "quick", folder.path(),
                 fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    }

    void rewrite_weights(const std::function<void(std::vector<storage::TensorSpec>&)>& change) const {
        const storage::SafetensorsFolder old(fixtures("clip") / "quick");
        std::vector<storage::TensorSpec> specs;
        for (const auto& [name, info] : old.tensors()) specs.push_back({name, info});
        change(specs);
        storage::SafetensorsWriter writer(folder.path(), specs);
        for (const auto& spec : specs) writer.write(spec.name, std::vector<std::byte>(spec.info.bytes()));
        writer.publish();
    }
    void rewrite_config(const std::function<void(Json&)>& change) const {
        auto config = Json::parse(read_text_file(folder / "config.json"));
        change(config);
        std::ofstream(folder / "config.json") << config.dump();
    }

    tg::test::TemporaryFolder folder;
};

TEST_F(SpoiltClipTest, every_missing_extra_and_misshapen_tensor_is_named_at_once) {
    rewrite_weights([](std::vector<storage::TensorSpec>& specs) {
        std::erase_if(specs, [](const storage::TensorSpec& s) {
            return s.name == "vision_model.post_layernorm.bias" ||
                   s.name == "text_model.encoder.layers.1.mlp.fc2.weight";
        });
        for (auto& spec : specs)
            if (spec.name == "visual_projection.weight") spec.info.shape = {16, 31};
        specs.push_back({"vision_model.encoder.layers.2.mlp.fc1.bias", {storage::TensorType::f32, {64}}});
    });
    EXPECT_THAT(
        error_of_loading(folder.path()),
        ::testing::AllOf(::testing::HasSubstr("vision_model.post_layernorm.bias is missing (shape [32])"),
                         ::testing::HasSubstr("text_model.encoder.layers.1.mlp.fc2.weight is missing"),
                         ::testing::HasSubstr("visual_projection.weight has shape [16, 31] instead of [16, 32]"),
                         ::testing::HasSubstr("vision_model.encoder.layers.2.mlp.fc1.bias [64] has no place")));
}

TEST_F(SpoiltClipTest, configs_that_cannot_be_followed_are_told) {
    rewrite_config([](Json& config) { config["vision_config"]["hidden_act"] = "relu"; });
    EXPECT_THAT(error_of_loading(folder.path()), ::testing::HasSubstr("hidden_act = relu is not supported"));
    rewrite_config([](Json& config) {
        config["vision_config"]["hidden_act"] = "gelu";
        config["vision_config"]["num_attention_heads"] = 5;
    });
    EXPECT_THAT(error_of_loading(folder.path()), ::testing::HasSubstr("hidden_size 32 is not divisible by 5 heads"));
    rewrite_config([](Json& config) { config["model_type"] = "bert"; });
    EXPECT_THAT(error_of_loading(folder.path()), ::testing::HasSubstr("model_type 'bert'"));
    fs::remove(folder / "config.json");
    EXPECT_THAT(error_of_loading(folder.path()), ::testing::HasSubstr("holds no config.json"));
}

TEST(clip_pooling, an_absent_activation_means_quick_gelu) {
    const tg::test::TemporaryFolder folder;
    fs::copy(fixtures("clip") / "quick", folder.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    auto config = Json::parse(read_text_file(folder / "config.json"));
    config["vision_config"].erase("hidden_act");
    config["text_config"].erase("hidden_act");
    std::ofstream(folder / "config.json") << config.dump();
    EXPECT_TRUE(torch::equal(load_dual_encoder(folder.path())->encode_images(fixture_pixels()),
                             load_dual_encoder(fixtures("clip") / "quick")->encode_images(fixture_pixels())));
}

TEST(device_choice, words_of_job_files_become_devices_and_formats) {
    EXPECT_TRUE(layers::choose_device(layers::DeviceChoice::cpu).is_cpu());
    EXPECT_EQ(layers::choose_dtype(layers::DtypeChoice::bf16, torch::kCPU), torch::kBFloat16);
    EXPECT_THROW(meaning_of(layers::device_words(), "tpu", "device"), UsageError);
    EXPECT_THROW(meaning_of(layers::dtype_words(), "fp8", "dtype"), UsageError);
    if (!layers::has_cuda()) {
        EXPECT_THROW(layers::choose_device(layers::DeviceChoice::cuda), UsageError);
    }
}

}  // namespace
}  // namespace tg::models
