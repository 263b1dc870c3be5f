#include "sample_feed.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <queue>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/parallel/partition.hpp"

namespace tg::training {

std::vector<std::uint64_t> share_of_step(const std::vector<std::uint64_t>& step,
                                         const std::vector<std::int64_t>& lengths, int rank, int ranks) {
    if (ranks == 1) return step;
    std::vector<std::size_t> order(step.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
    // (length so far, rank): the least loaded first, the lower rank where they are equal. A full rank is put back no
    // more.
    using Load = std::pair<std::int64_t, int>;
    std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
    std::vector<std::uint64_t> room(static_cast<std::size_t>(ranks)), mine;
    for (int r = 0; r < ranks; ++r) {
        room[static_cast<std::size_t>(r)] =
            parallel::slice_of(step.size(), static_cast<std::uint64_t>(r), static_cast<std::uint64_t>(ranks)).size();
        if (room[static_cast<std::size_t>(r)] > 0) loads.emplace(0, r);
    }
    for (const auto i : order) {
        const auto [length, to] = loads.top();
        loads.pop();
        if (to == rank) mine.push_back(step[i]);
        if (--room[static_cast<std::size_t>(to)] > 0) loads.emplace(length + lengths[i], to);
    }
    return mine;
}

FeedFigures& FeedFigures::operator+=(const FeedFigures& other) {
    samples += other.samples;
    text_only += other.text_only;
    cut += other.cut;
    failed += other.failed;
    waited_s += other.waited_s;
    for (const auto& [reason, count] : other.reasons) reasons[reason] += count;
    return *this;
}

SampleFeed::SampleFeed(const SampleSet& samples, StepOrder order, const models::VlmParts& parts, PictureReader reader,
                       FeatureMaker features, FeedOptions options, std::int64_t first)
    : samples_(samples),
      order_(std::move(order)),
      parts_(parts),
      reader_(std::move(reader)),
      make_features_(std::move(features)),
      options_(options),
      submitted_step_(first),
      step_(first),
      pool_(std::max<std::size_t>(1, options.threads)) {}

SampleFeed::~SampleFeed() = default;

torch::Tensor SampleFeed::cached(const std::string& image) const {
    const std::lock_guard lock(cache_mutex_);
    const auto found = cache_.find(image);
    return found == cache_.end() ? torch::Tensor() : found->second;
}

EncodedSample SampleFeed::prepare(std::uint64_t index) const {
    const auto sample = samples_.read(index);
    torch::Tensor pixels;
    std::string failure;
    std::int64_t tiles = 1;
    if (const auto known = cached(sample.image); known.defined()) {
        tiles = known.size(0) / parts_.image_positions();
    } else if (!sample.image.empty()) {
        try {
            pixels = reader_(sample.image);
            tiles = pixels.size(0);
        } catch (const InputError& error) {  // recorded: next() counts it under its reason
            failure = error.what();
        }
    }
    auto encoded = encode_sample(sample, parts_, tiles, options_.max_length);
    if (!encoded.image.empty()) encoded.pixels = pixels;
    if (!failure.empty()) encoded.failure = failure;
    return encoded;
}

void SampleFeed::fill() {
    // Two steps ahead of the one that is computed, whatever their size: decoding a step takes less time than learning
    // from it.
    while (submitted_step_ < options_.steps && ahead_.size() < 3) {
        const auto all = order_.step(static_cast<std::uint64_t>(submitted_step_++));
        std::vector<std::int64_t> lengths;
        for (const auto index : all)
            lengths.push_back(samples_.words(index) + (samples_.has_picture(index) ? parts_.image_positions() : 0));
        widest_share_.push_back(static_cast<std::int64_t>((all.size() + static_cast<std::size_t>(options_.ranks) - 1) /
                                                          static_cast<std::size_t>(options_.ranks)));
        auto& futures = ahead_.emplace_back();
        for (const auto index : share_of_step(all, lengths, options_.rank, options_.ranks))
            futures.push_back(pool_.submit([this, index] { return prepare(index); }));
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
        // One picture at a time, so that its features are the same bits whatever pictures came with it (a restart
        // brings others).
        sample.features = cached(sample.image);
        if (sample.features.defined()) continue;
        sample.features = make_features_(sample.pixels);
        const auto bytes = static_cast<std::int64_t>(sample.features.numel() *
                                                     static_cast<std::int64_t>(sample.features.element_size()));
        if (cached_bytes_ + bytes <= options_.feature_cache_bytes) {
            const std::lock_guard lock(cache_mutex_);
            cache_.emplace(sample.image, sample.features);
            cached_bytes_ += bytes;
        }
    }

    std::vector<MicroBatch> batches;
    for (std::int64_t first = 0; first < widest; first += options_.micro_batch) {
        std::vector<const EncodedSample*> rows;
        for (auto i = first; i < std::min<std::int64_t>(first + options_.micro_batch, std::ssize(encoded)); ++i)
            rows.push_back(&encoded[static_cast<std::size_t>(i)]);
        batches.push_back(pack(rows));
    }
    return batches;
}

}  // namespace tg::training
