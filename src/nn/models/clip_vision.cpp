#include "clip_vision.hpp"

namespace tg::models {

ClipVision::ClipVision(layers::WeightReader& weights, const std::function<std::string(const char*)>& name_of,
                       const VisionShape& vision, bool pooled)
    : shape(vision) {
    const auto h = shape.encoder.hidden;
    class_embedding = weights(name_of("embeddings.class_embedding"), {h}).view({1, 1, h});
    patch_embedding = weights(name_of("embeddings.patch_embedding.weight"), {h, 3, shape.patch, shape.patch});
    positions = weights(name_of("embeddings.position_embedding.weight"), {1 + shape.patches(), h}).unsqueeze(0);
    pre_norm = layers::LayerNorm(weights, name_of("pre_layrnorm"), h, shape.encoder.norm_eps);
    encoder = layers::Encoder(weights, name_of("encoder"), shape.encoder, pooled);
}

torch::Tensor ClipVision::sequence(const torch::Tensor& patches) const {
    return pre_norm(torch::cat({class_embedding.expand({patches.size(0), 1, -1}), patches}, 1) + positions);
}

}  // namespace tg::models
