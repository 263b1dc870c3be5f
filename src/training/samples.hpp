// Samples as conversation files hold them (LLaVA JSON, InternVL JSONL), and the order in which training takes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/nn/conversation.hpp"

namespace tg {

struct Sample {
    std::string id;
    std::string image;  // path or uri; empty: text alone
    std::vector<Turn> turns;
};

// Marks of pictures are left where they are: a model's family says what becomes of them (place_marks).
// LLaVA: [{"id", "image"?, "conversations": [{"from": "human"|"gpt", "value"}, ...]}, ...]. A leading answer is dropped as the reference does;
// after it questions and answers must alternate and end with an answer. Throws InputError naming file and sample.
// InternVL (FILE.jsonl): one such object a line; `image` may be a list of one.
std::vector<Sample> read_samples(const std::filesystem::path& file);

// Which samples make which step: a pure function of (samples, batch, seed), so that a step can be found again after any restart.
// Every epoch is a permutation of its own; its last step may be short.
class StepOrder {
public:
    StepOrder(std::uint64_t samples, std::uint64_t global_batch, std::uint64_t seed) : samples_(samples), batch_(global_batch), seed_(seed) {}
    std::uint64_t steps_per_epoch() const { return (samples_ + batch_ - 1) / batch_; }
    std::uint64_t epoch_of(std::uint64_t step) const { return step / steps_per_epoch(); }
    // Indices into the samples, over all ranks.
    std::vector<std::uint64_t> step(std::uint64_t step);

private:
    std::uint64_t samples_, batch_, seed_;
    std::uint64_t shuffled_epoch_ = ~std::uint64_t{0};
    std::vector<std::uint64_t> permutation_;
};

}  // namespace tg
