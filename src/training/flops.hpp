// Model FLOPs: what learning from a step's tokens takes, whatever is computed again (activation checkpointing) or
// padded. A matrix counts 2 FLOPs an element and token forward, 2 for the gradient that passes through it, 2 for its
// own gradient where it learns; the output matrix at supervised positions only; causal attention half of the square.
// The frozen vision tower, norms and the optimiser are not counted. MFU (Chowdhery et al. 2022, appendix B) = model
// FLOPs / (seconds * peak FLOP/s * ranks).
#pragma once

#include <cstdint>
#include <string_view>

#include "batch.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::training {

// Sums over micro-batches, and over ranks.
struct StepSize {
    std::int64_t tokens = 0, padded = 0, supervised = 0, picture_rows = 0;
    std::int64_t squares = 0;  // of the sequences' lengths
    // `padded`: what the same micro-batch takes where every sequence is padded to its longest.
    void add(const MicroBatch& batch);
};

struct FlopCount {
    // `learns_language`, `learns_projector`: of the matrices themselves; adapters always do.
    FlopCount(models::VlmParts& parts, bool learns_language, bool learns_projector);
    double of(const StepSize& step) const;

private:
    double layers_ = 0, head_ = 0, adapters_ = 0, projector_ = 0,
           attention_width_ = 0;  // elements; heads * head size * layers
    bool learns_language_, learns_projector_;
};

// Dense peak of a card by its name, in TFLOP/s at bf16; 0: not known.
double peak_tflops(std::string_view card);

}  // namespace tg::training
