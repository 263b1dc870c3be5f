#include "taskgalaxy/matching/embed_pictures.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <omp.h>

#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "temporary_folder.hpp"

namespace tg::matching {
namespace {

// Two channels' means as the features of a picture; may fail at one of its calls.
class Means final : public models::DualEncoder {
public:
    explicit Means(int failing_call = -1)
        : models::DualEncoder(torch::kCPU, torch::kFloat32), failing_call_(failing_call) {
        dim_ = 2, image_size_ = 24;
    }
    int calls() const { return calls_; }

protected:
    torch::Tensor image_features(const torch::Tensor& pixels) const override {
        if (calls_++ == failing_call_) throw std::runtime_error("the model failed");
        return pixels.mean({2, 3}).narrow(1, 0, 2);
    }
    torch::Tensor text_features(const torch::Tensor& ids) const override { return ids; }

private:
    int failing_call_;
    mutable std::atomic<int> calls_ = 0;
};

class EmbedPictures : public ::testing::Test {
protected:
    EmbedPictures() {
        std::ofstream(bad_ / "bad.jpg") << "<html>";
        pool_settings_.sources = {(std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/pool/pictures").string(),
                                  bad_.path().string()};
        pool_settings_.threads = 2;
        const auto solo = parallel::make_solo();
        run::StageContext context{*solo, run::Paths(run_.path()), "fingerprint"};
        ingest::make_ingest_stage(pool_settings_)->run(context);
        pool_ = std::make_unique<pool::Pool>(run_ / "pool.h5", pool_settings_);
        recipe_.size = recipe_.shortest_edge = 24;
        for (std::uint64_t i = 0; i < 150; ++i) indices_.push_back(i * 7 % pool_->size());
        settings_.batch = 16;
        settings_.batches_ahead = 2;
    }
    ~EmbedPictures() override { omp_set_num_threads(threads_); }

    test::TemporaryFolder run_, bad_;
    pool::PoolSettings pool_settings_;
    std::unique_ptr<pool::Pool> pool_;
    pictures::ImageRecipe recipe_;
    std::vector<std::uint64_t> indices_;
    EmbedSettings settings_;
    const int threads_ = omp_get_max_threads();
};

TEST_F(EmbedPictures, gives_every_picture_its_own_vector_whatever_the_threads) {
    for (const int threads : {1, 2, 5}) {
        omp_set_num_threads(threads);
        const Means model;
        const auto got = embed_pictures(model, *pool_, indices_, recipe_, settings_, "embed_images");
        EXPECT_EQ(model.calls(), 19);  // eights of 150
        ASSERT_EQ(got.rows.size(), 2 * indices_.size());
        std::size_t failed = 0;
        for (std::size_t i = 0; i < indices_.size(); ++i) {
            const std::vector<float> row(got.rows.begin() + static_cast<std::ptrdiff_t>(2 * i),
                                         got.rows.begin() + static_cast<std::ptrdiff_t>(2 * i + 2));
            if (!pool_->usable(indices_[i])) {
                ++failed;
                EXPECT_NE(got.failures[i], "");
                EXPECT_EQ(row, std::vector<float>(2, 0.0f));
                continue;
            }
            EXPECT_EQ(got.failures[i], "");
            std::vector<float> pixels(recipe_.values());
            pictures::decode_to_pixels(pool_->read(indices_[i]), pool_->decode_options(), recipe_, std::span(pixels));
            const auto alone = Means().encode_images(torch::from_blob(pixels.data(), {1, 3, 24, 24}));
            EXPECT_EQ(row, std::vector<float>(alone.data_ptr<float>(), alone.data_ptr<float>() + 2)) << i;
        }
        EXPECT_GT(failed, 0u);
        EXPECT_EQ(got.figures.failed, failed);
        EXPECT_EQ(got.figures.pictures, indices_.size());
    }
}

TEST_F(EmbedPictures, ends_with_the_failure_of_one_thread_while_others_wait_for_its_pictures) {
    settings_.batch = settings_.batches_ahead = 2;  // as few in memory as threads allow
    for (const int threads : {1, 2, 5}) {
        omp_set_num_threads(threads);
        for (const int call : {0, 4, 74})
            EXPECT_THROW(embed_pictures(Means(call), *pool_, indices_, recipe_, settings_, "embed_images"),
                         std::runtime_error);
    }
}

TEST_F(EmbedPictures, a_gpu_gives_what_the_cpu_gives_and_the_same_bits_again) {
    if (!layers::has_cuda()) GTEST_SKIP() << "no CUDA device here";
    const auto folder = std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/clip/quick";
    const auto recipe = pictures::ImageRecipe::read(folder);
    const auto rows_on = [&](const torch::Device& device) {
        return embed_pictures(*models::load_dual_encoder(folder, device), *pool_, indices_, recipe, settings_,
                              "embed_images")
            .rows;
    };
    const auto cpu = rows_on(torch::kCPU), gpu = rows_on(layers::choose_device(layers::DeviceChoice::cuda));
    EXPECT_EQ(rows_on(layers::choose_device(layers::DeviceChoice::cuda)), gpu);
    ASSERT_EQ(cpu.size(), gpu.size());
    for (std::size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(cpu[i], gpu[i], 1e-3f) << i;
}

TEST_F(EmbedPictures, stops_when_asked_to) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // a stop cannot be taken back: in a process of its own
    const auto stopped = [&] {
        omp_set_num_threads(3);
        request_stop();
        try {
            embed_pictures(Means(), *pool_, indices_, recipe_, settings_, "embed_images");
        } catch (const Stopped&) {
            std::exit(42);
        }
        std::exit(0);
    };
    EXPECT_EXIT(stopped(), ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace tg::matching
