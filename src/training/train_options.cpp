#include "train_options.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"
#include "validation.hpp"

namespace tg::training {

std::unique_ptr<models::VlmParts> describe_model(const TrainSettings& settings) {
    auto parts = models::VlmParts::describe(settings.model);
    if (settings.style != "auto") parts->style = &text::conversation_style(settings.style);
    if (settings.decay == Decay::all)
        for (auto* unit : parts->units())
            for (auto& parameter : unit->parameters) parameter.decays = true;
    if (settings.lora_rank > 0) parts->language.add_adapters(lora_options(settings));
    return parts;
}

std::vector<layers::Unit*> trained_units(const TrainSettings& settings, models::VlmParts& parts) {
    std::vector<layers::Unit*> units;
    if (parts.projector && settings.train_parts != TrainParts::language) units.push_back(&parts.projector->unit());
    if (settings.train_parts == TrainParts::projector) return units;
    for (auto* unit : parts.language.units())
        if (settings.lora_rank == 0) units.push_back(unit);
    for (auto& layer : parts.language.layers)
        if (layer.adapters()) units.push_back(layer.adapters());
    return units;
}

layers::LoraOptions lora_options(const TrainSettings& settings) {
    return {settings.lora_rank, settings.lora_alpha, settings.lora_targets, static_cast<std::uint64_t>(settings.seed)};
}

TrainerOptions trainer_options(const TrainSettings& settings) {
    TrainerOptions options;
    options.device = layers::choose_device(settings.device);
    options.dtype = settings.precision == Precision::bf16 ? torch::kBFloat16 : torch::kFloat32;
    options.sharding = settings.sharding;
    options.shard_ranks = settings.shard_ranks;
    options.shard_vision = settings.shard_vision;
    options.activation_checkpointing = settings.activation_checkpointing;
    options.loss_chunk = settings.loss_chunk;
    options.train_projector = settings.train_parts != TrainParts::language;
    options.train_language = settings.train_parts != TrainParts::projector;
    options.moments = settings.moments;
    options.adam = {settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay};
    options.clip_norm = settings.clip_norm;
    if (settings.projector_learning_rate > 0 && settings.learning_rate > 0)
        options.projector_rate = settings.projector_learning_rate / settings.learning_rate;
    return options;
}

GuardOptions guard_options(const TrainSettings& settings) {
    return {settings.on_nan, settings.on_spike, settings.spike};
}

bool may_roll_back(const TrainSettings& settings) {
    return settings.on_nan == StepVerdict::roll_back ||
           (settings.spike > 0 && settings.on_spike == StepVerdict::roll_back);
}

FeedOptions feed_options(const TrainSettings& settings, const models::VlmParts& parts,
                         const parallel::Communicator& ranks) {
    FeedOptions options;
    options.micro_batch = settings.micro_batch;
    options.max_length = std::min<std::int64_t>(settings.max_length, parts.language.config.context);
    options.threads = static_cast<std::size_t>(settings.decode_threads);
    if (!settings.shard_vision)  // a sharded tower is passed by all ranks together, as part of the step
        options.feature_cache_bytes = std::int64_t{settings.feature_cache_mib} << 20;
    options.rank = ranks.rank();
    options.ranks = ranks.size();
    return options;
}

pictures::PictureRecipe picture_recipe(const TrainSettings& settings, const models::VlmParts& parts) {
    auto recipe = parts.picture_recipe(settings.pad_images);
    if (settings.max_tiles == 0) return recipe;
    if (!recipe.tiled())
        throw UsageError(
            fmt::format("train.max_tiles = {}, but {} sees a picture whole", settings.max_tiles, parts.folder.string()),
            "leave it 0");
    recipe.rule.max_tiles = std::max(recipe.rule.min_tiles, settings.max_tiles);
    return recipe;
}

StepOrder step_order(const TrainSettings& settings, const SampleSet& samples) {
    const auto seed = static_cast<std::uint64_t>(settings.seed);
    StepOrder::Choice choice;
    if (const auto share = validation_share(settings.validation))
        choice = [seed, share = *share](std::uint64_t sample) { return !is_held_out(sample, seed, share); };
    return StepOrder(samples, static_cast<std::uint64_t>(settings.global_batch), seed, settings.group_by,
                     std::move(choice));
}

std::int64_t steps_of(const TrainSettings& settings, const StepOrder& order) {
    if (settings.max_steps > 0) return settings.max_steps;
    return static_cast<std::int64_t>(std::ceil(settings.epochs * static_cast<double>(order.steps_per_epoch())));
}

}  // namespace tg::training
