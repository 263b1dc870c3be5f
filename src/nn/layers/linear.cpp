#include "taskgalaxy/nn/layers/linear.hpp"

#include "ops_backends.hpp"

namespace tg::layers {

Linear::Linear(torch::Tensor weight, torch::Tensor bias) : weight_(std::move(weight)), bias_(std::move(bias)) {
    if (!ops::dense::pays_packing(weight_)) return;
    packed_ = std::make_shared<const kernels::PackedMatrix>(ops::dense::packed(weight_));
    weight_.reset();
}

torch::Tensor Linear::operator()(const torch::Tensor& x, kernels::Activation activation,
                                 const torch::Tensor& residual) const {
    return packed_ ? ops::dense::linear_packed(x, *packed_, bias_, activation, residual)
                   : linear(x, weight_, bias_, activation, residual);
}

}  // namespace tg::layers
