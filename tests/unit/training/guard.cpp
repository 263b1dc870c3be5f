// What surrounds a step: when it is refused, what it counts as, what TensorBoard is told.
#include <gtest/gtest.h>

#include "event_file.hpp"
#include "fixture.hpp"
#include "flops.hpp"
#include "step_guard.hpp"

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

tg::training::StepGuard guard_after(std::size_t steps, tg::training::GuardOptions options) {
    std::vector<tg::training::LogRow> log;
    for (std::size_t i = 0; i < steps; ++i)
        log.push_back({.loss = 1 + 0.01 * static_cast<double>(i % 5), .grad_norm = 2});
    return {options, log};
}

TEST(StepGuard, answers_a_spike_of_loss_or_norm_as_the_job_says) {
    const tg::training::GuardOptions options{tg::training::StepVerdict::stop, tg::training::StepVerdict::roll_back, 3};
    const auto guard = guard_after(30, options);
    EXPECT_EQ(guard.judge(1.5, 2.5), tg::training::StepVerdict::learn);
    EXPECT_EQ(guard.judge(3.2, 2), tg::training::StepVerdict::roll_back);
    EXPECT_EQ(guard.judge(1, 6.1), tg::training::StepVerdict::roll_back);
    EXPECT_EQ(guard.judge(no_number, 2), tg::training::StepVerdict::stop);
    EXPECT_EQ(guard.judge(1, std::numeric_limits<double>::infinity()), tg::training::StepVerdict::stop);
    EXPECT_EQ(guard_after(15, options).judge(100, 100),
              tg::training::StepVerdict::learn);  // too few to say what is usual
    EXPECT_EQ(guard_after(30, {tg::training::StepVerdict::stop, tg::training::StepVerdict::skip, 0}).judge(100, 100),
              tg::training::StepVerdict::learn);
}

TEST(StepGuard, takes_the_median_of_the_last_steps_that_were_learnt_from) {
    auto guard = guard_after(30, {tg::training::StepVerdict::stop, tg::training::StepVerdict::skip, 3});
    for (int i = 0; i < 100; ++i) guard.add({.loss = no_number, .grad_norm = 50, .skipped = 1});
    EXPECT_EQ(guard.judge(3.2, 2), tg::training::StepVerdict::skip);
    for (std::size_t i = 0; i < tg::training::StepGuard::window; ++i) guard.add({.loss = 2, .grad_norm = 2});
    EXPECT_EQ(guard.judge(3.2, 2), tg::training::StepVerdict::learn);
}

TEST(Flops, are_those_of_the_matrices_and_half_the_square_of_attention) {
    auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    // LLaMA of 3 layers: hidden 48, 6 heads and 2 key heads of 8, feed-forward 80, 704 words; projector 32 -> 48 -> 48.
    const double layer = 48.0 * (48 + 16 + 16) + 48 * 48 + 3 * 48 * 80, head = 704.0 * 48,
                 projector = 32.0 * 48 + 48 * 48, attention = 6.0 * 48 * 3;
    tg::training::StepSize size{100, 150, 20, 32, 4000};
    EXPECT_DOUBLE_EQ(tg::training::FlopCount(*parts, true, true).of(size),
                     6 * (100 * 3 * layer + 20 * head + 32 * projector) + attention * 4000);
    EXPECT_DOUBLE_EQ(tg::training::FlopCount(*parts, false, true).of(size),
                     4 * (100 * 3 * layer + 20 * head) + 6 * 32 * projector + attention * 4000);
    parts->language.add_adapters({.rank = 4, .alpha = 8, .targets = {"o_proj"}});
    EXPECT_DOUBLE_EQ(
        tg::training::FlopCount(*parts, true, true).of(size),
        4 * (100 * 3 * layer + 20 * head) + 6 * 32 * projector + 6 * 100 * 3 * (4 * 48 + 48 * 4) + attention * 4000);
    EXPECT_EQ(tg::training::peak_tflops("NVIDIA H100 PCIe"), 756);
    EXPECT_EQ(tg::training::peak_tflops("NVIDIA H100 80GB HBM3"), 989);
    EXPECT_EQ(tg::training::peak_tflops(""), 0);
}

TEST(Flops, know_what_padding_would_have_cost) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    tg::training::StepSize size;
    tg::training::MicroBatch batch = tg::training::pack({});
    batch.starts = {0, 10, 13, 40};
    batch.ids = torch::zeros({40}, torch::kInt64);
    size.add(batch);
    EXPECT_EQ(size.tokens, 40);
    EXPECT_EQ(size.padded, 3 * 27);
    EXPECT_EQ(size.squares, 100 + 9 + 27 * 27);
    size.add(tg::training::pack({}));
    EXPECT_EQ(size.padded, 3 * 27);
}

TEST(EventFile, frames_records_with_masked_crcs) {
    EXPECT_EQ(tg::training::crc32c("123456789"), 0xE3069283u);  // the check value of CRC-32C
    const tg::fixture::Scratch scratch("events");
    tg::training::EventFile(scratch.path(), 1000).add(1, 1001, {{"a", 1}});
    tg::training::EventFile second(scratch.path(), 1000);  // another life: the first one's file goes
    second.add(7, 1001.5, {{"train/loss", 2.5}, {"left out", no_number}});
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) files.push_back(entry.path());
    ASSERT_EQ(files.size(), 1u);
    std::ifstream in(files[0], std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    // Version record: 8 + 4 + 24 + 4; then wall time (9), step (2), summary (2 + 2 + 12 + 5).
    ASSERT_EQ(bytes.size(), 40u + 16 + 9 + 2 + 2 + 2 + 12 + 5);
    EXPECT_EQ(bytes.substr(12 + 11, 13), "brain.Event:2");
    EXPECT_NE(bytes.find("train/loss"), bytes.npos);
    EXPECT_EQ(bytes.find("left out"), bytes.npos);
}

}  // namespace
