#include "intern_vit.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/nn/layers/encoder.hpp"
#include "taskgalaxy/nn/layers/weights.hpp"

namespace tg::models {

using nlohmann::json;
using torch::Tensor;

namespace {

// What the two worlds call the same things.
struct InternVitNames {
    const char *cls, *position, *patch, *blocks, *norm1, *norm2, *scale1, *scale2, *attention, *out, *qkv_bias,
        *qk_norm;
    bool fused_qkv, rms_by_default, qk_norm_by_default;
};
constexpr InternVitNames opengvlab_names{"class_embedding",
                                         "position_embedding",
                                         "patch_embedding",
                                         "encoder.layers.",
                                         "norm1",
                                         "norm2",
                                         "ls1",
                                         "ls2",
                                         "attn",
                                         "proj",
                                         "qkv_bias",
                                         "qk_normalization",
                                         true,
                                         true,
                                         true};
constexpr InternVitNames transformers_names{"cls_token",
                                            "position_embeddings",
                                            "patch_embeddings.projection",
                                            "encoder.layer.",
                                            "layernorm_before",
                                            "layernorm_after",
                                            "lambda_1",
                                            "lambda_2",
                                            "attention",
                                            "projection_layer",
                                            "attention_bias",
                                            "use_qk_norm",
                                            false,
                                            false,
                                            false};

// LayerNorm or RMSNorm, as the configuration says.
struct VitNorm {
    Tensor weight, bias;  // no bias: RMSNorm
    double eps = 1e-6;
    VitNorm() = default;
    VitNorm(layers::WeightReader& weights, const std::string& name, std::int64_t size, bool rms, double norm_eps)
        : weight(weights(name + ".weight", {size})), eps(norm_eps) {
        if (!rms) bias = weights(name + ".bias", {size});
    }
    Tensor operator()(const Tensor& x) const {
        if (bias.defined()) return torch::layer_norm(x, {x.size(-1)}, weight, bias, eps);
        const auto wide = x.to(torch::kFloat32);
        return weight * (wide * torch::rsqrt(wide.square().mean(-1, true) + eps)).to(x.scalar_type());
    }
};

// A number, or a pair of equal ones.
std::int64_t side_of(const json& config, const char* name, std::int64_t otherwise, const std::string& where) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) return otherwise;
    if (found->is_number_integer()) return found->get<std::int64_t>();
    if (found->is_array() && found->size() == 2 && (*found)[0] == (*found)[1] && (*found)[0].is_number_integer())
        return (*found)[0].get<std::int64_t>();
    throw InputError(fmt::format("{}: {} = {} is not supported", where, name, found->dump()),
                     "pictures and patches must be squares");
}

class InternVit : public VisionTower {
public:
    InternVit(const json& config, const std::string& where, const InternVitOptions& options, std::string prefix)
        : names_(options.files == InternVitFiles::opengvlab ? opengvlab_names : transformers_names),
          options_(options),
          prefix_(std::move(prefix)) {
        const bool opengvlab = options.files == InternVitFiles::opengvlab;
        shape_.hidden = field(config, "hidden_size", std::int64_t{opengvlab ? 3200 : 1024});
        shape_.mlp = field(config, "intermediate_size", std::int64_t{opengvlab ? 12800 : 4096});
        shape_.heads = field(config, "num_attention_heads", std::int64_t{opengvlab ? 25 : 16});
        shape_.norm_eps = field(config, "layer_norm_eps", 1e-6);
        shape_.activation = layers::activation_of(field<std::string>(config, "hidden_act", "gelu"), where);
        const auto layers = field(config, "num_hidden_layers", std::int64_t{opengvlab ? 48 : 24});
        patch_ = side_of(config, "patch_size", 14, where);
        const auto trained_size = side_of(config, "image_size", opengvlab ? 224 : 448, where);
        image_size = options.image_size > 0 ? options.image_size : static_cast<int>(trained_size);
        const std::pair<const char*, std::int64_t> sizes[] = {{"hidden_size", shape_.hidden},
                                                              {"intermediate_size", shape_.mlp},
                                                              {"num_attention_heads", shape_.heads},
                                                              {"num_hidden_layers", layers},
                                                              {"patch_size", patch_},
                                                              {"image_size", trained_size}};
        for (const auto& [name, size] : sizes)
            if (size < 1 || size > (1 << 20))
                throw InputError(fmt::format("{}: {} = {} is not a sensible size", where, name, size));
        if (shape_.hidden % shape_.heads != 0)
            throw InputError(
                fmt::format("{}: hidden_size {} is no multiple of {} heads", where, shape_.hidden, shape_.heads));

        const auto norm = field<std::string>(config, "norm_type", names_.rms_by_default ? "rms_norm" : "layer_norm");
        if (norm != "rms_norm" && norm != "layer_norm")
            throw InputError(fmt::format("{}: norm_type = {} is not supported", where, norm),
                             "known here: layer_norm, rms_norm");
        rms_ = norm == "rms_norm";
        qk_norm_ = field(config, names_.qk_norm, names_.qk_norm_by_default);
        qkv_bias_ = field(config, names_.qkv_bias, false);
        if (!opengvlab && !field(config, "use_absolute_position_embeddings", true))
            throw InputError(where + ": use_absolute_position_embeddings = false is not supported");
        if (!opengvlab && !field(config, "use_mean_pooling", true))
            throw InputError(where + ": use_mean_pooling = false is not supported",
                             "features are taken before the last norm");

        shape_.layers = options.layer < 0 ? layers + 1 + options.layer : options.layer;
        if (shape_.layers < 0 || shape_.layers > layers)
            throw InputError(
                fmt::format("{}: layer {} of a tower of {} layers was asked for", where, options.layer, layers));
        trained_side_ = trained_size / patch_;
        side_ = image_size / patch_;
        if (options.shuffle != PixelShuffle::none && side_ % 2 != 0)
            throw InputError(fmt::format("{}: {} x {} patches cannot be joined two by two", where, side_, side_));
        const bool joined = options.shuffle != PixelShuffle::none;
        positions = joined ? side_ * side_ / 4 : side_ * side_ + (options.keep_cls ? 1 : 0);
        channels = joined ? 4 * shape_.hidden : shape_.hidden;
    }

    void load(const storage::SafetensorsFolder& files, const layers::WeightNames& names, torch::Device device,
              torch::Dtype dtype) override {
        layers::WeightReader weights(files, device, dtype);
        const auto h = shape_.hidden, trained = trained_side_ * trained_side_;
        const auto name = [&](const std::string& tail) { return names.file_name(prefix_ + tail); };
        const auto embedding = [&](const char* what) { return name(fmt::format("embeddings.{}", what)); };
        cls_ = weights(embedding(names_.cls), {1, 1, h});
        patches_ = weights(embedding(names_.patch) + ".weight", {h, 3, patch_, patch_});
        patch_bias_ = weights(embedding(names_.patch) + ".bias", {h});
        auto position =
            weights.read(embedding(names_.position), {1, trained + 1, h});  // fp32: resampled before it is rounded
        if (side_ != trained_side_) {
            const auto grid =
                position.narrow(1, 1, trained).reshape({1, trained_side_, trained_side_, h}).permute({0, 3, 1, 2});
            const auto resampled = at::upsample_bicubic2d(grid, {side_, side_}, false)
                                       .permute({0, 2, 3, 1})
                                       .reshape({1, side_ * side_, h});
            position = torch::cat({position.narrow(1, 0, 1), resampled}, 1);
        }
        position_ = weights.to(position);
        blocks_.clear();
        blocks_.reserve(static_cast<std::size_t>(shape_.layers));  // blocks() points into them
        for (std::int64_t i = 0; i < shape_.layers; ++i) {
            const auto layer = name(fmt::format("{}{}", names_.blocks, i));
            const auto attention = fmt::format("{}.{}.", layer, names_.attention);
            const auto joined = [&](const char* what, auto... columns) {
                if (names_.fused_qkv) return weights(fmt::format("{}qkv.{}", attention, what), {3 * h, columns...});
                const auto one = [&](const char* which) {
                    return weights.read(fmt::format("{}{}_proj.{}", attention, which, what), {h, columns...});
                };
                return weights.to(torch::cat({one("q"), one("k"), one("v")}));
            };
            auto& block = blocks_.emplace_back();
            block.norm1 = VitNorm(weights, fmt::format("{}.{}", layer, names_.norm1), h, rms_, shape_.norm_eps);
            block.norm2 = VitNorm(weights, fmt::format("{}.{}", layer, names_.norm2), h, rms_, shape_.norm_eps);
            block.qkv = joined("weight", h);
            if (qkv_bias_) block.qkv_bias = joined("bias");
            if (qk_norm_) {
                block.q_norm =
                    VitNorm(weights, attention + "q_norm", h, true, names_.fused_qkv ? shape_.norm_eps : 1e-6);
                block.k_norm =
                    VitNorm(weights, attention + "k_norm", h, true, names_.fused_qkv ? shape_.norm_eps : 1e-6);
            }
            block.out = weights(attention + names_.out + ".weight", {h, h});
            block.out_bias = weights(attention + names_.out + ".bias", {h});
            block.mlp = layers::Mlp(weights, layer + ".mlp", shape_);
            block.scale1 = weights(fmt::format("{}.{}", layer, names_.scale1), {h});
            block.scale2 = weights(fmt::format("{}.{}", layer, names_.scale2), {h});
            if (on_block) on_block(static_cast<std::size_t>(i), false);
        }
        weights.ignore(embedding("mask_token"));
        weights.finish("an InternViT", name("embeddings."));
    }

    bool can_be_sharded() const override { return true; }
    std::vector<std::vector<Tensor*>> blocks() override {
        std::vector<std::vector<Tensor*>> all;
        for (auto& b : blocks_)
            all.push_back({&b.norm1.weight, &b.norm1.bias, &b.norm2.weight, &b.norm2.bias, &b.q_norm.weight,
                           &b.k_norm.weight, &b.qkv, &b.qkv_bias, &b.out, &b.out_bias, &b.scale1, &b.scale2,
                           &b.mlp.fc1_weight, &b.mlp.fc1_bias, &b.mlp.fc2_weight, &b.mlp.fc2_bias});
        return all;
    }

    Tensor features(const Tensor& pixels) const override {
        const torch::NoGradGuard no_grad;
        const auto patches =
            torch::conv2d(pixels.to(patches_.device(), patches_.scalar_type()), patches_, patch_bias_, patch_)
                .flatten(2)
                .transpose(1, 2);
        const auto B = patches.size(0), T = patches.size(1) + 1, h = shape_.hidden;
        auto x = torch::cat({cls_.expand({B, 1, h}), patches}, 1) + position_;
        const auto heads_of = [&](const Tensor& t) {
            return t.view({B, T, shape_.heads, h / shape_.heads}).transpose(1, 2);
        };
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const auto& block = blocks_[i];
            if (on_block) on_block(i, true);
            auto qkv = layers::linear(block.norm1(x), block.qkv, block.qkv_bias).chunk(3, -1);
            if (qk_norm_)
                qkv[0] = block.q_norm(qkv[0]), qkv[1] = block.k_norm(qkv[1]);  // over all channels, not a head's
            const auto attended =
                at::scaled_dot_product_attention(heads_of(qkv[0]), heads_of(qkv[1]), heads_of(qkv[2]));
            x = x +
                layers::linear(attended.transpose(1, 2).reshape({B, T, h}), block.out, block.out_bias) * block.scale1;
            x = x + block.mlp(block.norm2(x)) * block.scale2;
            if (on_block) on_block(i, false);
        }
        if (options_.keep_cls) return x;
        x = x.narrow(1, 1, side_ * side_).contiguous();
        return options_.shuffle == PixelShuffle::none ? x
                                                      : pixel_shuffled(x.view({B, side_, side_, h}), options_.shuffle);
    }

private:
    struct Block {
        VitNorm norm1, norm2, q_norm, k_norm;
        Tensor qkv, qkv_bias, out, out_bias, scale1, scale2;  // [3H,H] [3H] [H,H] [H] [H] [H]
        layers::Mlp mlp;
    };
    const InternVitNames& names_;
    InternVitOptions options_;
    std::string prefix_;
    layers::EncoderShape shape_;
    std::int64_t patch_ = 14, side_ = 0, trained_side_ = 0;  // pixels a patch, patches a side now and in training
    bool rms_ = false, qk_norm_ = false, qkv_bias_ = false;
    Tensor cls_, patches_, patch_bias_, position_;
    std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<VisionTower> make_intern_vit(const json& vision_config, const std::string& where,
                                             const InternVitOptions& options, const std::string& prefix) {
    return std::make_unique<InternVit>(vision_config, where, options, prefix);
}

Tensor pixel_shuffled(const Tensor& grid, PixelShuffle version) {
    const auto B = grid.size(0), rows = grid.size(1), columns = grid.size(2), C = grid.size(3);
    auto joined = grid.reshape({B, rows / 2, 2, columns / 2, 2, C}).permute({0, 1, 3, 2, 4, 5});
    if (version == PixelShuffle::v1) joined = joined.transpose(1, 2);
    return joined.reshape({B, rows / 2 * (columns / 2), 4 * C});
}

}  // namespace tg::models
