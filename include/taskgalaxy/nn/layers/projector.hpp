// The bridge from a vision tower's features to a language model's embeddings: N linears (`linear` is 1, `mlpNx_gelu` N)
// with exact GELU between them, behind a LayerNorm or not. Forward and backward written out; the tower below it is
// frozen, so no gradient goes further down.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"

namespace tg::layers {

struct ProjectorConfig {
    std::int64_t from = 1024, to = 4096;
    int linears = 2;
    bool bias = true;
    bool norm = false;  // LayerNorm in front
    // "linear", "mlp2x_gelu", "mlp3x_gelu", ...; throws InputError for others, naming `where`.
    static int linears_of(const std::string& type, const std::string& where);
};

class Projector {
public:
    using Kept = std::vector<torch::Tensor>;  // each linear's input, then each hidden linear's output, then with a norm
                                              // the features before its weight

    // Tensors PREFIXlayer_norm.weight, PREFIXlinear_1.weight, ..., each with its .bias.
    Projector(const ProjectorConfig& config, const std::string& prefix);

    Unit& unit() { return unit_; }
    const ProjectorConfig& config() const { return config_; }
    torch::Tensor forward(const torch::Tensor& features, Kept* keep = nullptr) const;  // [N, from] -> [N, to]
    void backward(const torch::Tensor& d_out, const Kept& kept);

private:
    static constexpr double norm_eps = 1e-5;
    std::size_t weight_index(int linear) const {
        return (config_.norm ? 2 : 0) + static_cast<std::size_t>(linear) * (config_.bias ? 2 : 1);
    }
    const Parameter& weight(int linear) const { return unit_.parameters[weight_index(linear)]; }
    ProjectorConfig config_;
    Unit unit_;
};

}  // namespace tg::layers
