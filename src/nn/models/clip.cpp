#include "clip.hpp"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "clip_vision.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/encoder.hpp"
#include "taskgalaxy/nn/layers/patches.hpp"
#include "taskgalaxy/nn/layers/weights.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "tower_config.hpp"

namespace tg::models {
namespace {

struct PooledVision {
    ClipVision trunk;
    layers::Linear patches;  // 3*P*P -> H
    layers::LayerNorm post_norm;

    PooledVision(layers::WeightReader& weights, const VisionShape& shape)
        : trunk(
              weights, [](const char* tail) { return std::string("vision_model.") + tail; }, shape, true),
          patches(std::exchange(trunk.patch_embedding, {}).view({shape.encoder.hidden, -1})),
          post_norm(weights, "vision_model.post_layernorm", shape.encoder.hidden, shape.encoder.norm_eps) {
        weights.ignore("vision_model.embeddings.position_ids");
    }

    // [B,3,S,S] -> [B,H], the class token.
    torch::Tensor operator()(const torch::Tensor& pixels) const {
        const auto x = trunk.sequence(patches(layers::patches_of(pixels, trunk.shape.patch)));
        const auto class_rows = torch::zeros({pixels.size(0)}, pixels.options().dtype(torch::kInt64));
        return post_norm(trunk.encoder.forward_pooled(x, false, class_rows));
    }
};

struct ClipText {
    TextShape shape;
    torch::Tensor tokens, positions;  // [V,H] [positions,H]
    layers::Encoder encoder;
    layers::LayerNorm final_norm;

    ClipText(layers::WeightReader& weights, const TextShape& text) : shape(text) {
        const auto h = shape.encoder.hidden;
        const std::string name = "text_model.";
        tokens = weights(name + "embeddings.token_embedding.weight", {shape.vocabulary, h});
        positions = weights(name + "embeddings.position_embedding.weight", {shape.positions, h});
        encoder = layers::Encoder(weights, name + "encoder", shape.encoder, true);
        final_norm = layers::LayerNorm(weights, name + "final_layer_norm", h, shape.encoder.norm_eps);
        weights.ignore(name + "embeddings.position_ids");
    }

    // Published configs carry the wrong end id 2; the model was then pooled at the largest id. Else the first end
    // token; padding is the same token, hence "first", which argmax gives.
    torch::Tensor pooled_rows(const torch::Tensor& ids) const {
        constexpr std::int64_t wrong_end_id = 2;
        return shape.end_id == wrong_end_id ? ids.argmax(-1) : ids.eq(shape.end_id).to(torch::kInt32).argmax(-1);
    }

    // [B,T] -> [B,H]. Positions behind the end token cannot be seen (causal), so padding needs no mask.
    torch::Tensor operator()(const torch::Tensor& ids) const {
        const auto x = tokens.index_select(0, ids.flatten()).view({ids.size(0), ids.size(1), -1}) +
                       positions.narrow(0, 0, ids.size(1));
        return final_norm(encoder.forward_pooled(x, true, pooled_rows(ids)));
    }
};

}  // namespace

struct Clip::Impl {
    PooledVision vision;
    ClipText text;
    layers::Linear visual_projection, text_projection;  // H -> D
};

Clip::Clip(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype) : DualEncoder(device, dtype) {
    const auto config = read_model_config(folder);
    const auto where = (folder / "config.json").string();
    const auto part = [&](const char* name) {
        const auto found = config.find(name);
        if (found == config.end() || !found->is_object())
            throw InputError(fmt::format("{}: has no {}", where, name), "a CLIPModel has both towers");
        return *found;
    };
    const auto vision = vision_shape(part("vision_config"), clip_defaults, where + " vision_config");
    const auto text = text_shape(part("text_config"), clip_defaults, where + " text_config");
    dim_ = config.value("projection_dim", std::int64_t{512});
    image_size_ = static_cast<int>(vision.image);
    tokenizer_ = std::make_unique<text::ClipTokenizer>(folder);
    require_fit(*tokenizer_, text, folder);

    const storage::SafetensorsFolder files(folder);
    layers::WeightReader weights(files, device, dtype);
    impl_ =
        std::make_unique<Impl>(Impl{{weights, vision},
                                    {weights, text},
                                    layers::Linear(weights("visual_projection.weight", {dim_, vision.encoder.hidden})),
                                    layers::Linear(weights("text_projection.weight", {dim_, text.encoder.hidden}))});
    weights.ignore("logit_scale");
    weights.finish("config.json");
}
Clip::~Clip() = default;

torch::Tensor Clip::image_features(const torch::Tensor& pixels) const {
    return impl_->visual_projection(impl_->vision(pixels));
}
torch::Tensor Clip::text_features(const torch::Tensor& ids) const { return impl_->text_projection(impl_->text(ids)); }

}  // namespace tg::models
