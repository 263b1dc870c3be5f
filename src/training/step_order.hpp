// The order in which training takes samples.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "samples.hpp"
#include "taskgalaxy/training/settings.hpp"

namespace tg::training {

// Which samples make which step: a pure function of (samples, batch, seed), so that a step can be found again after any
// restart. Every epoch is a permutation of its own; its last step may be short.
class StepOrder {
public:
    // `choice`: which samples may be taken; empty: all. GroupBy::modality: steps of samples with a picture and steps of
    // text alone, as LLaVA's group_by_modality_length (llava_trainer.py); what fills no step of either kind comes last.
    // Its sorting by length decides who computes what inside a step: see SampleFeed.
    using Choice = std::function<bool(std::uint64_t sample)>;
    StepOrder(const SampleSet& samples, std::uint64_t global_batch, std::uint64_t seed, GroupBy group_by,
              Choice choice = {});
    std::uint64_t samples_per_epoch() const { return per_epoch_; }
    std::uint64_t steps_per_epoch() const { return (per_epoch_ + batch_ - 1) / batch_; }
    std::uint64_t epoch_of(std::uint64_t step) const { return step / steps_per_epoch(); }
    // Indices into the samples, over all ranks.
    std::vector<std::uint64_t> step(std::uint64_t step);

private:
    void draw(std::uint64_t epoch);
    void group_by_modality(std::uint64_t seed);
    std::vector<std::uint64_t> chosen(const SampleSet::Share& share) const;
    static std::uint64_t taken(const SampleSet::Share& share, std::size_t chosen);

    const SampleSet* samples_;
    std::uint64_t batch_, seed_, per_epoch_ = 0;
    GroupBy group_by_;
    Choice choice_;
    std::uint64_t drawn_epoch_ = ~std::uint64_t{0};
    std::vector<std::uint64_t> order_;  // of the drawn epoch
};

}  // namespace tg::training
