#include "clip_tower.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "clip_vision.hpp"
#include "taskgalaxy/core/error.hpp"
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
        const auto name_of = [&](const char* tail) { return names.file_name(prefix_ + tail); };
        trunk_ = ClipVision(weights, name_of, shape_, false);
        weights.finish("the vision tower of a LLaVA",
                       name_of("embeddings."));  // blocks behind the chosen layer stay unread
    }

    Tensor features(const Tensor& pixels) const override {
        const torch::NoGradGuard no_grad;
        const auto& matrix = trunk_.patch_embedding;
        const auto patches = torch::conv2d(pixels.to(matrix.device(), matrix.scalar_type()), matrix, {}, shape_.patch)
                                 .flatten(2)
                                 .transpose(1, 2);
        const auto x = trunk_.encoder.forward(trunk_.sequence(patches), false);
        return keep_cls_ ? x : x.narrow(1, 1, positions).contiguous();
    }

private:
    VisionShape shape_;
    bool keep_cls_;
    std::string prefix_;
    ClipVision trunk_;
};

}  // namespace

std::unique_ptr<VisionTower> make_clip_tower(const nlohmann::json& vision_config, const std::string& where, int layer,
                                             bool keep_cls, const std::string& prefix) {
    return std::make_unique<ClipTower>(vision_config, where, layer, keep_cls, prefix);
}

}  // namespace tg::models
