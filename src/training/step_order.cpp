#include "step_order.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::training {

StepOrder::StepOrder(const SampleSet& samples, std::uint64_t global_batch, std::uint64_t seed, GroupBy group_by,
                     Choice choice)
    : samples_(&samples), batch_(global_batch), seed_(seed), group_by_(group_by), choice_(std::move(choice)) {
    for (const auto& share : samples.shares()) per_epoch_ += taken(share, chosen(share).size());
    if (per_epoch_ == 0)
        throw UsageError("train.data: the weights, or the share of train.validation, leave no sample", "raise them");
}

std::vector<std::uint64_t> StepOrder::chosen(const SampleSet::Share& share) const {
    std::vector<std::uint64_t> all(share.count);
    std::iota(all.begin(), all.end(), share.first);
    if (choice_) std::erase_if(all, [this](std::uint64_t sample) { return !choice_(sample); });
    return all;
}

std::uint64_t StepOrder::taken(const SampleSet::Share& share, std::size_t chosen) {
    return static_cast<std::uint64_t>(std::llround(share.weight * static_cast<double>(chosen)));
}

void StepOrder::draw(std::uint64_t epoch) {
    order_.clear();
    const auto epoch_seed = random_bits(seed_, epoch);
    for (std::size_t source = 0; source < samples_->shares().size(); ++source) {
        const auto& share = samples_->shares()[source];
        auto all = chosen(share);
        auto wanted = taken(share, all.size());
        for (; !all.empty() && wanted >= all.size(); wanted -= all.size())
            order_.insert(order_.end(), all.begin(), all.end());
        if (wanted == 0) continue;
        shuffle(all, random_bits(epoch_seed, source));
        order_.insert(order_.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(wanted));
    }
    shuffle(order_, epoch_seed);
    if (group_by_ == GroupBy::modality) group_by_modality(epoch_seed);
    drawn_epoch_ = epoch;
}

void StepOrder::group_by_modality(std::uint64_t seed) {
    std::vector<std::vector<std::uint64_t>> steps;
    std::vector<std::uint64_t> rest;
    for (const bool pictures : {true, false}) {
        std::vector<std::uint64_t> step;
        for (const auto index : order_) {
            if (samples_->has_picture(index) != pictures) continue;
            step.push_back(index);
            if (step.size() == batch_) steps.push_back(std::exchange(step, {}));
        }
        rest.insert(rest.end(), step.begin(), step.end());
    }
    shuffle(steps, mix64(seed));
    order_.clear();
    for (const auto& step : steps) order_.insert(order_.end(), step.begin(), step.end());
    order_.insert(order_.end(), rest.begin(), rest.end());
}

std::vector<std::uint64_t> StepOrder::step(std::uint64_t step) {
    if (const auto epoch = epoch_of(step); epoch != drawn_epoch_) draw(epoch);
    const auto begin = step % steps_per_epoch() * batch_;
    const auto end = std::min(begin + batch_, per_epoch_);
    return {order_.begin() + static_cast<std::ptrdiff_t>(begin), order_.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace tg::training
