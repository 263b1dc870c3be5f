// Conversations as rows of a micro-batch: ids expanded to picture positions, labels shifted by one, sequences packed
// behind each other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "samples.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::training {

struct EncodedSample {
    std::vector<std::int64_t> ids;     // image_placeholder at each position of the picture
    std::vector<std::int64_t> labels;  // of the next token; ignored_label where nothing is learnt
    torch::Tensor pixels{};            // [tiles,3,S,S], or undefined: text alone, or `features` are known
    torch::Tensor features{};          // [tiles * N, C] of the tower
    std::string image{};               // its name, for the cache of features; empty where the text shows no picture
    std::string failure{};             // why this sample is left out (its picture cannot be read); empty: fine
    bool cut = false;                  // longer than the limit
    std::int64_t supervised() const;
};

// Text part, for a picture of so many tiles. At most `max_length` positions: what is longer loses its end; a picture is
// never cut (the sample then fails, as does one whose picture leaves no room for an answer).
EncodedSample encode_sample(const Sample& sample, const models::VlmParts& parts, std::int64_t tiles,
                            std::int64_t max_length);

struct MicroBatch {
    torch::Tensor ids;         // [T], 0 at picture positions
    torch::Tensor labels;      // [T]
    torch::Tensor image_rows;  // [tiles * N]: where the positions of all pictures' tiles lie in T
    torch::Tensor pixels;      // [tiles,3,S,S], or undefined
    torch::Tensor features;    // [tiles * N, C] where they are known
    std::vector<std::int64_t> starts{0};
    std::int64_t supervised = 0;
    std::int64_t tokens() const { return starts.back(); }
};
// Samples with a failure are left out.
MicroBatch pack(const std::vector<const EncodedSample*>& samples);

}  // namespace tg::training
