// The micro-batches of one rank, step by step, made ahead on threads: text tokenized, pictures read, decoded and
// preprocessed. Which samples a step holds does not depend on the ranks; a rank takes as many as the others, of about
// the same length. A sample whose picture cannot be read is left out and counted with its reason, never replaced.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "batch.hpp"
#include "step_order.hpp"
#include "taskgalaxy/core/threads.hpp"

namespace tg::training {

// The picture's tiles [tiles,3,S,S] fp32; throws InputError. Called from several threads.
using PictureReader = std::function<torch::Tensor(const std::string& image)>;
// The tower's features of tiles [B,3,S,S]: [B*N, C].
using FeatureMaker = std::function<torch::Tensor(const torch::Tensor& pixels)>;

struct FeedOptions {
    std::int64_t micro_batch = 16, max_length = 2048;
    std::int64_t steps = 0;  // in all
    std::size_t threads = 1;
    std::int64_t feature_cache_bytes =
        0;  // of a frozen tower's features, kept for samples that share a picture; 0: none
    int rank = 0, ranks = 1;
};

struct FeedFigures {
    std::uint64_t samples = 0, text_only = 0, cut = 0, failed = 0;
    std::map<std::string, std::uint64_t> reasons;
    double waited_s = 0;
    FeedFigures& operator+=(const FeedFigures& other);
};

// Those of a step's samples that each rank computes: the longest first, each to the rank that has least to do and is
// not full (as LLaVA's split_to_even_chunks); ranks differ by one sample at most. One rank keeps the order of the step.
std::vector<std::uint64_t> share_of_step(const std::vector<std::uint64_t>& step,
                                         const std::vector<std::int64_t>& lengths, int rank, int ranks);

class SampleFeed {
public:
    // Begins at step `first`. `samples`, `parts` must outlive this.
    SampleFeed(const SampleSet& samples, StepOrder order, const models::VlmParts& parts, PictureReader reader,
               FeatureMaker features, FeedOptions options, std::int64_t first);
    ~SampleFeed();

    // The next step's micro-batches: as many on every rank, the last ones perhaps empty.
    std::vector<MicroBatch> next();
    const FeedFigures& figures() const { return figures_; }

private:
    EncodedSample prepare(std::uint64_t index) const;
    torch::Tensor cached(const std::string& image) const;  // undefined: not there
    void fill();                                           // keeps enough samples in the making

    const SampleSet& samples_;
    StepOrder order_;
    const models::VlmParts& parts_;
    PictureReader reader_;
    FeatureMaker make_features_;
    FeedOptions options_;
    std::int64_t submitted_step_, step_;
    std::deque<std::vector<std::future<EncodedSample>>> ahead_;  // one entry a step
    std::deque<std::int64_t> widest_share_;                      // of any rank, in those steps
    mutable std::mutex cache_mutex_;                             // of cache_: next() writes, the threads look
    std::unordered_map<std::string, torch::Tensor> cache_;
    std::int64_t cached_bytes_ = 0;
    FeedFigures figures_;
    ThreadPool pool_;  // last: its threads end before what they use
};

}  // namespace tg::training
