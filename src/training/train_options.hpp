// What the settings [train] say to each part of training. Every rank comes to the same; nothing here is collective.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sample_feed.hpp"
#include "step_guard.hpp"
#include "step_order.hpp"
#include "taskgalaxy/pictures/preprocess.hpp"
#include "taskgalaxy/training/settings.hpp"
#include "trainer.hpp"

namespace tg::training {

// The base model, described and not loaded, as the job changes it: its conversation style, which parameters decay, its
// adapters. Throws InputError.
std::unique_ptr<models::VlmParts> describe_model(const TrainSettings& settings);
// Units of it with gradients and moments, adapters among them.
std::vector<layers::Unit*> trained_units(const TrainSettings& settings, models::VlmParts& parts);

layers::LoraOptions lora_options(const TrainSettings& settings);
TrainerOptions trainer_options(const TrainSettings& settings);
GuardOptions guard_options(const TrainSettings& settings);
bool may_roll_back(const TrainSettings& settings);
// `steps` is left to the caller.
FeedOptions feed_options(const TrainSettings& settings, const models::VlmParts& parts,
                         const parallel::Communicator& ranks);
// How the job shows the model a picture. Throws UsageError for tiles of a model that sees pictures whole.
pictures::PictureRecipe picture_recipe(const TrainSettings& settings, const models::VlmParts& parts);

// The order in which samples are learnt from, those held out left aside, and the number of steps in all.
StepOrder step_order(const TrainSettings& settings, const SampleSet& samples);
std::int64_t steps_of(const TrainSettings& settings, const StepOrder& order);

}  // namespace tg::training
