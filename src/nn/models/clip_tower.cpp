#include "clip_tower.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/layers/encoder.hpp"
#include "taskgalaxy/nn/layers/weights.hpp"
#include "tower_config.hpp"

namespace tg::models {

using torch::Tensor;

namespace {

class ClipTower : public VisionTower {
public:
    ClipTower(const nlohmann::json& config, const std::string& where, int layer, bool keep_cls, std::string prefix)
        : shape_(vision_shape(config, clip_defaults, where)), keep_cls_(keep_cls), prefix_(std::move(prefix)) {
        const auto layers = shape_.encoder.layers;
        const auto blocks = layer < 0 ? layers + 1 + layer : layer;
        if (blocks < 0 || blocks > layers)
            throw InputError(fmt::format("{}: layer {} of a tower of {} layers was asked for", where, layer, layers));
        shape_.encoder.layers = blocks;
        image_size = static_cast<int>(shape_.image);
        positions = shape_.patches() + (keep_cls ? 1 : 0);
        channels = shape_.encoder.hidden;
    }

    void load(const storage::SafetensorsFolder& files, const layers::WeightNames& names, torch::Device device,
              torch::Dtype dtype) override {
        layers::WeightReader weights(files, device, dtype);
        const auto name = [&](const char* tail) { return names.file_name(prefix_ + tail); };
        cls_ = weights(name("embeddings.class_embedding"), {channels});
        patches_ = weights(name("embeddings.patch_embedding.weight"), {channels, 3, shape_.patch, shape_.patch});
        position_ = weights(name("embeddings.position_embedding.weight"), {shape_.patches() + 1, channels});
        before_ = layers::LayerNorm(weights, name("pre_layrnorm"), channels, shape_.encoder.norm_eps);
        encoder_ = layers::Encoder(weights, name("encoder"), shape_.encoder);
        weights.finish("the vision tower of a LLaVA",
                       name("embeddings."));  // blocks behind the chosen layer stay unread
    }

    Tensor features(const Tensor& pixels) const override {
        const torch::NoGradGuard no_grad;
        const auto patches =
            torch::conv2d(pixels.to(patches_.device(), patches_.scalar_type()), patches_, {}, shape_.patch)
                .flatten(2)
                .transpose(1, 2);
        const auto B = patches.size(0);
        const auto x =
            encoder_.forward(before_(torch::cat({cls_.expand({B, 1, channels}), patches}, 1) + position_), false);
        return keep_cls_ ? x : x.narrow(1, 1, positions).contiguous();
    }

private:
    VisionShape shape_;
    bool keep_cls_;
    std::string prefix_;
    Tensor cls_, patches_, position_;
    layers::LayerNorm before_;
    layers::Encoder encoder_;
};

}  // namespace

std::unique_ptr<VisionTower> make_clip_tower(const nlohmann::json& vision_config, const std::string& where, int layer,
                                             bool keep_cls, const std::string& prefix) {
    return std::make_unique<ClipTower>(vision_config, where, layer, keep_cls, prefix);
}

}  // namespace tg::models
