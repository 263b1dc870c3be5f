#include "sample_feed.hpp"

#include <algorithm>
#include <chrono>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/parallel/partition.hpp"

namespace tg {

SampleFeed::SampleFeed(const std::vector<Sample>& samples, StepOrder order, const VlmParts& parts, PictureReader reader, FeatureMaker features, FeedOptions options, std::int64_t first)
    : samples_(samples), order_(std::move(order)), parts_(parts), reader_(std::move(reader)), make_features_(std::move(features)), options_(options), submitted_step_(first), step_(first),
      pool_(std::max<std::size_t>(1, options.threads)) {}

SampleFeed::~SampleFeed() = default;

EncodedSample SampleFeed::prepare(const Sample& sample, std::int64_t known_tiles) const {
    torch::Tensor pixels;
    std::string failure;
    if (!sample.image.empty() && known_tiles == 0) {
        try {
            pixels = reader_(sample.image);
        } catch (const InputError& error) {  // recorded: next() counts it under its reason
            failure = error.what();
        }
    }
    auto encoded = encode_sample(sample, parts_, pixels.defined() ? pixels.size(0) : std::max<std::int64_t>(1, known_tiles), options_.max_length);
    if (!encoded.image.empty()) encoded.pixels = pixels;
    if (!failure.empty()) encoded.failure = failure;
    return encoded;
}

void SampleFeed::fill() {
    // Two steps ahead of the one that is computed, whatever their size: decoding a step takes less time than learning from it.
    while (submitted_step_ < options_.steps && ahead_.size() < 3) {
        const auto all = order_.step(static_cast<std::uint64_t>(submitted_step_++));
        const auto share = slice_of(all.size(), static_cast<std::uint64_t>(options_.rank), static_cast<std::uint64_t>(options_.ranks));
        widest_share_.push_back(static_cast<std::int64_t>((all.size() + static_cast<std::size_t>(options_.ranks) - 1) / static_cast<std::size_t>(options_.ranks)));
        auto& futures = ahead_.emplace_back();
        for (auto i = share.begin; i < share.end; ++i) {
            const auto* sample = &samples_[all[i]];
            const auto cached = cache_.find(sample->image);
            const auto tiles = cached == cache_.end() ? 0 : cached->second.size(0) / parts_.image_positions();
            futures.push_back(pool_.submit([this, sample, tiles] { return prepare(*sample, tiles); }));
        }
    }
}

std::vector<MicroBatch> SampleFeed::next() {
    fill();
    const auto start = std::chrono::steady_clock::now();
    std::vector<EncodedSample> encoded;
    for (auto& future : ahead_.front()) encoded.push_back(future.get());
    const auto widest = widest_share_.front();
    ahead_.pop_front();
    widest_share_.pop_front();
    ++step_;
    figures_.waited_s += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fill();

    for (auto& sample : encoded) {
        ++figures_.samples;
        figures_.text_only += sample.image.empty();
        figures_.cut += sample.cut;
        if (!sample.failure.empty()) {
            ++figures_.failed;
            ++figures_.reasons[sample.failure];
        }
        if (options_.feature_cache_bytes == 0 || sample.image.empty() || !sample.failure.empty()) continue;
        // One picture at a time, so that its features are the same bits whatever pictures came with it (a restart brings others).
        const auto found = cache_.find(sample.image);
        if (found != cache_.end()) {
            sample.features = found->second;
            continue;
        }
        sample.features = make_features_(sample.pixels);
        const auto bytes = static_cast<std::int64_t>(sample.features.numel() * static_cast<std::int64_t>(sample.features.element_size()));
        if (cached_bytes_ + bytes <= options_.feature_cache_bytes) {
            cache_.emplace(sample.image, sample.features);
            cached_bytes_ += bytes;
        }
    }

    std::vector<MicroBatch> batches;
    for (std::int64_t first = 0; first < widest; first += options_.micro_batch) {
        std::vector<const EncodedSample*> rows;
        for (auto i = first; i < std::min<std::int64_t>(first + options_.micro_batch, std::ssize(encoded)); ++i) rows.push_back(&encoded[static_cast<std::size_t>(i)]);
        batches.push_back(pack(rows));
    }
    return batches;
}

}  // namespace tg
