#include "validation.hpp"

#include <charconv>

#include <fmt/format.h>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::training {

std::optional<double> validation_share(const std::vector<std::string>& setting) {
    if (setting.size() != 1) return {};
    const auto& text = setting.front();
    double share = 0;
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
        error != std::errc{} || end != text.data() + text.size())
        return {};
    if (!(share > 0 && share < 1))
        throw UsageError(fmt::format("train.validation = {} is no share", text),
                         "write a number between 0 and 1, or files");
    return share;
}

bool is_held_out(std::uint64_t sample, std::uint64_t seed, double share) {
    constexpr std::uint64_t purpose = 0x76616C6964617465ull;  // another stream than the order's
    return random_unit(seed ^ purpose, sample) < share;
}

Validation::Validation(const TrainSettings& settings, const SampleSet& samples, const models::VlmParts& parts,
                       PictureReader reader, FeedOptions feed, const parallel::Communicator& ranks)
    : own_(validation_share(settings.validation)
               ? nullptr
               : std::make_unique<SampleSet>(read_sources(settings.validation), ranks)),
      samples_(own_ ? *own_ : samples),
      parts_(parts),
      reader_(std::move(reader)),
      feed_(feed),
      ranks_(ranks) {
    const auto seed = static_cast<std::uint64_t>(settings.seed);
    StepOrder::Choice choice;
    if (!own_)
        choice = [seed, share = *validation_share(settings.validation)](std::uint64_t sample) {
            return is_held_out(sample, seed, share);
        };
    order_ = std::make_unique<StepOrder>(samples_, static_cast<std::uint64_t>(settings.global_batch), seed,
                                         GroupBy::none, std::move(choice));
    feed_.steps = static_cast<std::int64_t>(order_->steps_per_epoch());
    feed_.feature_cache_bytes = 0;
}

ValidationRow Validation::measure(std::int64_t step, Trainer& trainer) const {
    const CostPhase phase("validation");
    SampleFeed feed(
        samples_, *order_, parts_, reader_, [&](const torch::Tensor& pixels) { return trainer.features(pixels); },
        feed_, 0);
    double loss = 0;
    std::int64_t tokens = 0;
    for (std::int64_t i = 0; i < feed_.steps; ++i) {
        std::vector<MicroBatch> batches;
        parallel::together(ranks_, [&] { batches = feed.next(); });
        std::int64_t supervised = 0;
        for (const auto& batch : batches) supervised += batch.supervised;
        supervised = ranks_.sum(supervised);
        loss += trainer.evaluate(batches) * static_cast<double>(supervised);
        tokens += supervised;
    }
    return {static_cast<double>(step), loss / std::max(1.0, static_cast<double>(tokens)), static_cast<double>(tokens)};
}

}  // namespace tg::training
