#include "step_order.hpp"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fixture.hpp"

namespace {

namespace fs = std::filesystem;

// So many samples of three words, every third with a picture.
fs::path many_samples(const tg::fixture::Scratch& scratch, int count, const std::string& name = "many.jsonl") {
    const auto file = scratch.path() / name;
    std::ofstream out(file);
    for (int i = 0; i < count; ++i)
        out << fmt::format(R"({{"id": "{}", {}"conversations": [{{"from": "human", "value": "two words"}}, )"
                           R"({{"from": "gpt", "value": "one"}}]}})",
                           i, i % 3 == 0 ? R"("image": "p.png", )" : "")
            << "\n";
    return file;
}

TEST(StepOrder, takes_every_sample_once_an_epoch_and_is_found_again_at_any_step) {
    const tg::fixture::Scratch scratch("order");
    const auto solo = tg::parallel::make_solo();
    const tg::training::SampleSet samples(tg::training::read_sources({many_samples(scratch, 103)}), *solo);
    for (const auto group_by : {tg::training::GroupBy::none, tg::training::GroupBy::modality}) {
        tg::training::StepOrder order(samples, 8, 5, group_by);
        ASSERT_EQ(order.steps_per_epoch(), 13u);
        std::vector<std::vector<std::uint64_t>> epochs(2);
        for (std::uint64_t step = 0; step < 26; ++step) {
            const auto batch = order.step(step);
            EXPECT_EQ(batch, tg::training::StepOrder(samples, 8, 5, group_by).step(step));
            auto& epoch = epochs[order.epoch_of(step)];
            epoch.insert(epoch.end(), batch.begin(), batch.end());
        }
        EXPECT_NE(epochs[0], epochs[1]);
        EXPECT_NE(tg::training::StepOrder(samples, 8, 6, group_by).step(0), order.step(0));
        for (auto& epoch : epochs) {
            std::sort(epoch.begin(), epoch.end());
            ASSERT_EQ(epoch.size(), 103u);
            for (std::uint64_t i = 0; i < 103; ++i) EXPECT_EQ(epoch[i], i);
        }
    }
}

TEST(StepOrder, by_modality_mixes_none_but_the_last_steps) {
    const tg::fixture::Scratch scratch("modality");
    const auto solo = tg::parallel::make_solo();
    const tg::training::SampleSet samples(tg::training::read_sources({many_samples(scratch, 103)}),
                                          *solo);  // 35 with a picture: 4 steps and 3 left; 68 without: 8 and 4 left
    EXPECT_EQ(samples.pictures(), 35u);
    EXPECT_EQ(samples.words(0), 3);
    EXPECT_EQ(samples.words(1), 3);
    tg::training::StepOrder order(samples, 8, 5, tg::training::GroupBy::modality);
    int pure = 0;
    for (std::uint64_t step = 0; step < order.steps_per_epoch(); ++step) {
        const auto batch = order.step(step);
        const auto pictures =
            std::count_if(batch.begin(), batch.end(), [&](std::uint64_t i) { return samples.has_picture(i); });
        pure += pictures == 0 || pictures == std::ssize(batch);
        if (step + 1 < order.steps_per_epoch()) {
            EXPECT_TRUE(pictures == 0 || pictures == 8) << "step " << step;
        }
    }
    EXPECT_EQ(pure, 12);
}

TEST(StepOrder, mixes_by_weight) {
    const tg::fixture::Scratch scratch("weights");
    const auto solo = tg::parallel::make_solo();
    const auto twice = many_samples(scratch, 10, "a.jsonl").string(),
               quarter = many_samples(scratch, 40, "b.jsonl").string();
    const tg::training::SampleSet samples(tg::training::read_sources({twice + "*2", quarter + "*0.25"}), *solo);
    tg::training::StepOrder order(samples, 30, 1, tg::training::GroupBy::none);
    ASSERT_EQ(order.samples_per_epoch(), 30u);
    const auto first = order.step(0), second = order.step(1);
    for (const auto& epoch : {first, second}) {
        for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(std::count(epoch.begin(), epoch.end(), i), 2);
        std::vector<std::uint64_t> of_the_other;
        std::copy_if(epoch.begin(), epoch.end(), std::back_inserter(of_the_other),
                     [](std::uint64_t i) { return i >= 10; });
        std::sort(of_the_other.begin(), of_the_other.end());
        EXPECT_EQ(of_the_other.size(), 10u);
        EXPECT_EQ(std::unique(of_the_other.begin(), of_the_other.end()), of_the_other.end())
            << "a quarter of them, none twice";
    }
    const auto drawn = [](std::vector<std::uint64_t> epoch) {
        std::erase_if(epoch, [](std::uint64_t i) { return i < 10; });
        std::sort(epoch.begin(), epoch.end());
        return epoch;
    };
    EXPECT_NE(drawn(first), drawn(second)) << "another quarter every epoch";
}

}  // namespace
