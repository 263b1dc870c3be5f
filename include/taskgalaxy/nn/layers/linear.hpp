// A linear layer whose weights do not change, with what follows it in the same pass over memory: y = activation(x W^T +
// bias) + residual. Letters of shapes: R rows, K what is summed over, N outputs.
#pragma once

#include <memory>

#include "taskgalaxy/nn/kernels/dense_product.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::layers {

class Linear {
public:
    Linear() = default;
    // weight [N,K], bias [N] or undefined. Where dense_product() serves, only a packed copy is kept.
    explicit Linear(torch::Tensor weight, torch::Tensor bias = {});

    // x [..., K] -> [..., N], residual [..., N] or undefined.
    torch::Tensor operator()(const torch::Tensor& x, kernels::Activation activation = kernels::Activation::none,
                             const torch::Tensor& residual = {}) const;

private:
    torch::Tensor weight_, bias_;
    std::shared_ptr<const kernels::PackedMatrix> packed_;  // null: weight_ serves
};

// The same with weights that may change from call to call.
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     kernels::Activation activation = kernels::Activation::none, const torch::Tensor& residual = {});

}  // namespace tg::layers
