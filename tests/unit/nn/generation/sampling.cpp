#include "sampling.hpp"

#include <array>
#include <set>

#include <gtest/gtest.h>

namespace {

using tg::generation::sampled;

TEST(Sampling, takes_tokens_as_often_as_they_are_probable) {
    const auto logits = torch::log(torch::tensor({0.1f, 0.6f, 0.3f}));
    std::array<int, 3> times{};
    for (std::uint64_t key = 0; key < 4000; ++key)
        ++times[static_cast<std::size_t>(sampled(logits, {.temperature = 1}, key, 0))];
    EXPECT_NEAR(times[0], 400, 80);
    EXPECT_NEAR(times[1], 2400, 130);
    EXPECT_NEAR(times[2], 1200, 120);
}

TEST(Sampling, leaves_out_what_lies_behind_top_p) {
    const auto logits = torch::log(torch::tensor({0.1f, 0.6f, 0.3f}));
    std::set<std::int64_t> half, most;
    for (std::uint64_t position = 0; position < 200; ++position) {
        half.insert(sampled(logits, {.temperature = 1, .top_p = 0.5}, 3, position));
        most.insert(sampled(logits, {.temperature = 1, .top_p = 0.8}, 3, position));
    }
    EXPECT_EQ(half, std::set<std::int64_t>{1});
    EXPECT_EQ(most, (std::set<std::int64_t>{1, 2}));
}

TEST(Sampling, depends_on_seed_key_and_position_alone) {
    const auto logits = torch::zeros({1000});
    const auto chosen = [&](std::uint64_t seed, std::uint64_t key, std::uint64_t position) {
        return sampled(logits, {.temperature = 1, .seed = seed}, key, position);
    };
    EXPECT_EQ(chosen(1, 2, 3), chosen(1, 2, 3));
    const std::set<std::int64_t> apart{chosen(1, 2, 3), chosen(2, 2, 3), chosen(1, 3, 3), chosen(1, 2, 4)};
    EXPECT_EQ(apart.size(), 4u);
}

}  // namespace
