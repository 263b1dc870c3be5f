// Threads that read, decode and preprocess pictures ahead of their consumer. Batches come in the order of `indices`,
// whatever thread finished first; at most `batches_ahead` of them exist at once; a picture that fails comes as zeros
// with its reason, never as an exception. Used by embed, training and evaluation; knows no torch: memory may come from
// the caller (pinned).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taskgalaxy/pictures/preprocess.hpp"
#include "taskgalaxy/pool/pool.hpp"

namespace tg::pool {

struct AheadOptions {
    std::size_t batch = 32;         // B: pictures a batch; the last may be short
    std::size_t batches_ahead = 3;  // including the one the consumer holds
    std::size_t threads = 0;        // 0: as the pool's settings say
    bool bf16 = false;              // pixels as bfloat16 bits instead of floats
    // Memory of a batch (bytes) and its release; default: new and delete. Called from the constructor and destructor
    // only.
    std::function<std::byte*(std::size_t)> allocate;
    std::function<void(std::byte*)> release;
};

struct PixelBatch {
    std::size_t first = 0;                   // position in `indices` of its first picture
    std::span<const std::uint64_t> indices;  // its pictures, in order
    std::byte* pixels = nullptr;             // [B, 3, S, S], zeros where a picture failed
    std::vector<std::string> failures;       // one a picture; empty: fine
    const float* floats() const { return reinterpret_cast<const float*>(pixels); }
};

// Where the time went, summed over threads; to tell a slow disk from a slow decoder from a slow model.
struct AheadFigures {
    double read_s = 0, decode_s = 0;  // decode_s: decoding and preprocessing
    double consumer_waited_s = 0;     // the model's threads waited for pixels
    double threads_waited_s = 0;      // the pixels waited for the model
    std::uint64_t pictures = 0, failed = 0, bytes = 0;
};

class DecodeAhead {
public:
    // `pool` must outlive this. Pictures of `indices` that the pool calls unusable are delivered as failures with the
    // pool's reason.
    DecodeAhead(const Pool& pool, std::vector<std::uint64_t> indices, const pictures::ImageRecipe& recipe,
                AheadOptions options = {});
    ~DecodeAhead();  // stops the threads after the picture in hand
    DecodeAhead(const DecodeAhead&) = delete;

    // The next batch, or nothing at the end. It stays valid until released. By any number of threads; waits while
    // others hold all batches, and throws std::logic_error where the caller itself does.
    PixelBatch* next();
    // Gives the batch's memory back to the threads (after an asynchronous copy has ended, for example).
    void release(PixelBatch* batch);

    AheadFigures figures() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::pool
