// The loss of samples that are never learnt from: the same ones in the same order each time, on any number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sample_feed.hpp"
#include "taskgalaxy/training/settings.hpp"
#include "trainer.hpp"
#include "training_log.hpp"

namespace tg::training {

// train.validation as a share in (0, 1); nothing where it names files. Throws UsageError for other numbers.
std::optional<double> validation_share(const std::vector<std::string>& setting);
bool is_held_out(std::uint64_t sample, std::uint64_t seed, double share);

class Validation {
public:
    // Of a share of `samples`, or of files of its own. Collective. `feed`: as for training; the tower's features are
    // not cached.
    Validation(const TrainSettings& settings, const SampleSet& samples, const models::VlmParts& parts,
               PictureReader reader, FeedOptions feed, const parallel::Communicator& ranks);
    // Collective.
    ValidationRow measure(std::int64_t step, Trainer& trainer) const;

private:
    std::unique_ptr<SampleSet> own_;
    std::unique_ptr<StepOrder> order_;
    const SampleSet& samples_;
    const models::VlmParts& parts_;
    PictureReader reader_;
    FeedOptions feed_;
    const parallel::Communicator& ranks_;
};

}  // namespace tg::training
