// CLIP's vision transformer, up to what is done with its last state: the dual encoder pools and projects it (clip.cpp),
// a LLaVA looks through it (clip_tower.cpp). Weight names and numerics as transformers' CLIPVisionTransformer
// (models/clip/modeling_clip.py). Letters of shapes: B pictures, N patches, H channels, P pixels a patch's side.
#pragma once

#include <functional>
#include <string>

#include "taskgalaxy/nn/layers/encoder.hpp"
#include "tower_config.hpp"

namespace tg::models {

struct ClipVision {
    VisionShape shape;
    // [H,3,P,P], without bias. The two users multiply pixels by it with kernels whose sums differ in their last bits,
    // and each is held to its own reference: hence it is theirs to apply.
    torch::Tensor patch_embedding;
    torch::Tensor class_embedding, positions;  // [1,1,H] [1,1+N,H]
    layers::LayerNorm pre_norm;
    layers::Encoder encoder;

    ClipVision() = default;
    // `name_of` says where "embeddings.class_embedding" and its like lie in the files; `pooled` as Encoder has it.
    ClipVision(layers::WeightReader& weights, const std::function<std::string(const char*)>& name_of,
               const VisionShape& vision, bool pooled);

    // Embedded patches [B,N,H] -> the encoder's input [B,1+N,H].
    torch::Tensor sequence(const torch::Tensor& patches) const;
};

}  // namespace tg::models
