#include "siglip.hpp"

#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/encoder.hpp"
#include "taskgalaxy/nn/layers/patches.hpp"
#include "taskgalaxy/nn/layers/weights.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "tower_config.hpp"

namespace tg::models {
namespace {

// One learned query that attends to every patch, then an MLP: what SigLIP has instead of a class token.
class AttentionPooling {
public:
    AttentionPooling(layers::WeightReader& weights, const std::string& name, const layers::EncoderShape& shape)
        : activation_(shape.activation.activation) {
        const auto h = shape.hidden;
        const auto probe = weights.read(name + ".probe", {1, 1, h}).view({1, h});
        const auto in_weight = weights.read(name + ".attention.in_proj_weight", {3 * h, h}),
                   in_bias = weights.read(name + ".attention.in_proj_bias", {3 * h});
        query_ = weights.to(torch::linear(probe, in_weight.narrow(0, 0, h), in_bias.narrow(0, 0, h)));
        attention_ = layers::PooledAttention(weights.to(in_weight.narrow(0, h, 2 * h)),
                                             weights.to(in_bias.narrow(0, h, 2 * h)), shape.heads);
        out_ = layers::Linear(weights(name + ".attention.out_proj.weight", {h, h}),
                              weights(name + ".attention.out_proj.bias", {h}));
        norm_ = layers::LayerNorm(weights, name + ".layernorm", h, shape.norm_eps);
        const layers::Mlp mlp(weights, name + ".mlp", shape);
        fc1_ = layers::Linear(mlp.fc1_weight, mlp.fc1_bias);
        fc2_ = layers::Linear(mlp.fc2_weight, mlp.fc2_bias);
    }

    // [B,T,H] -> [B,H]
    torch::Tensor operator()(const torch::Tensor& x) const {
        const auto pooled = out_(attention_(query_.expand({x.size(0), -1}), x));
        return fc2_(fc1_(norm_(pooled), activation_), kernels::Activation::none, pooled);
    }

private:
    torch::Tensor query_;  // [1,H], the probe after its projection: the same for every image
    layers::PooledAttention attention_;
    layers::Linear out_;
    layers::LayerNorm norm_;
    layers::Linear fc1_, fc2_;
    kernels::Activation activation_;
};

struct SiglipVision {
    VisionShape shape;
    layers::Linear patches;   // 3*P*P -> H
    torch::Tensor positions;  // [1,patches,H]
    layers::Encoder encoder;
    layers::LayerNorm post_norm;
    AttentionPooling head;

    SiglipVision(layers::WeightReader& weights, const VisionShape& vision)
        : shape(vision),
          patches(weights("vision_model.embeddings.patch_embedding.weight",
                          {vision.encoder.hidden, 3, vision.patch, vision.patch})
                      .view({vision.encoder.hidden, -1}),
                  weights("vision_model.embeddings.patch_embedding.bias", {vision.encoder.hidden})),
          positions(
              weights("vision_model.embeddings.position_embedding.weight", {vision.patches(), vision.encoder.hidden})
                  .unsqueeze(0)),
          encoder(weights, "vision_model.encoder", vision.encoder),
          post_norm(weights, "vision_model.post_layernorm", vision.encoder.hidden, vision.encoder.norm_eps),
          head(weights, "vision_model.head", vision.encoder) {
        weights.ignore("vision_model.embeddings.position_ids");
    }

    torch::Tensor operator()(const torch::Tensor& pixels) const {
        const auto x = patches(layers::patches_of(pixels, shape.patch)) + positions;
        return head(post_norm(encoder.forward(x, false)));
    }
};

struct SiglipText {
    TextShape shape;
    torch::Tensor tokens, positions;  // [V,H] [T,H]
    layers::Encoder encoder;
    layers::LayerNorm final_norm;
    torch::Tensor head_weight, head_bias;  // [D,H] [D]

    SiglipText(layers::WeightReader& weights, const TextShape& text, std::int64_t dim)
        : shape(text),
          tokens(weights("text_model.embeddings.token_embedding.weight", {text.vocabulary, text.encoder.hidden})),
          positions(weights("text_model.embeddings.position_embedding.weight", {text.positions, text.encoder.hidden})),
          encoder(weights, "text_model.encoder", text.encoder, true),
          final_norm(weights, "text_model.final_layer_norm", text.encoder.hidden, text.encoder.norm_eps),
          head_weight(weights("text_model.head.weight", {dim, text.encoder.hidden})),
          head_bias(weights("text_model.head.bias", {dim})) {
        weights.ignore("text_model.embeddings.position_ids");
    }

    // The last position is pooled, whatever token is there.
    torch::Tensor operator()(const torch::Tensor& ids) const {
        const auto x = tokens.index_select(0, ids.flatten()).view({ids.size(0), ids.size(1), -1}) +
                       positions.narrow(0, 0, ids.size(1));
        const auto last = torch::full({ids.size(0)}, ids.size(1) - 1, ids.options());
        return torch::linear(final_norm(encoder.forward_pooled(x, false, last)), head_weight, head_bias);
    }
};

}  // namespace

struct Siglip::Impl {
    SiglipVision vision;
    SiglipText text;
};

Siglip::Siglip(const std::filesystem::path& folder, torch::Device device, torch::Dtype dtype)
    : DualEncoder(device, dtype) {
    const auto config = read_model_config(folder);
    const auto where = (folder / "config.json").string();
    const auto part = [&](const char* name) { return config.value(name, nlohmann::json::object()); };
    const auto vision = vision_shape(part("vision_config"), siglip_defaults, where + " vision_config");
    const auto text = text_shape(part("text_config"), siglip_defaults, where + " text_config");
    dim_ = vision.encoder.hidden;
    image_size_ = static_cast<int>(vision.image);
    tokenizer_ = std::make_unique<text::SiglipTokenizer>(folder);
    require_fit(*tokenizer_, text, folder);

    const storage::SafetensorsFolder files(folder);
    layers::WeightReader weights(files, device, dtype);
    impl_ = std::make_unique<Impl>(Impl{{weights, vision}, {weights, text, dim_}});
    weights.ignore("logit_scale");
    weights.ignore("logit_bias");
    weights.finish("config.json");
}
Siglip::~Siglip() = default;

torch::Tensor Siglip::image_features(const torch::Tensor& pixels) const { return impl_->vision(pixels); }
torch::Tensor Siglip::text_features(const torch::Tensor& ids) const { return impl_->text(ids); }
std::int64_t Siglip::padded_length(std::int64_t) const { return static_cast<std::int64_t>(tokenizer_->context()); }

}  // namespace tg::models
