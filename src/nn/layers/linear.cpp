#include "taskgalaxy/nn/layers/linear.hpp"

#include <stdexcept>

#include "dense_tensors.hpp"

namespace tg::layers {

using torch::Tensor;

namespace {

void activate(Tensor& x, kernels::Activation activation) {
    switch (activation) {
        case kernels::Activation::none: break;
        case kernels::Activation::silu: torch::silu_(x); break;
        case kernels::Activation::gelu: at::gelu_(x, "none"); break;
        case kernels::Activation::gelu_tanh: at::gelu_(x, "tanh"); break;
    }
}

// `product` multiplies the rows of x, of the weights' number format, into a target.
template <class Product> Tensor dense(const Tensor& x, kernels::Number number, std::int64_t outputs, const Tensor& bias,
                                      kernels::Activation activation, const Tensor& residual, Product&& product) {
    for (const auto* other : {&x, &bias, &residual})
        if (other->defined() && number_of(*other) != number)
            throw std::logic_error("a linear layer of one number format was given another");
    auto shape = x.sizes().vec();
    shape.back() = outputs;
    const auto rows = x.reshape({-1, x.size(-1)}).contiguous();
    auto y = torch::empty(shape, x.options());
    auto target = target_of(y.view({-1, outputs}));
    target.activation = activation;
    const auto added = residual.defined() ? residual.contiguous() : Tensor();
    if (bias.defined()) target.bias = bias.data_ptr();
    if (added.defined()) target.addend = added.data_ptr(), target.addend_row_stride = outputs;
    product(view_of(rows), target);
    return y;
}

Tensor plain(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
             const Tensor& residual) {
    auto y = torch::linear(x, weight, bias);
    activate(y, activation);
    return residual.defined() ? y.add_(residual) : y;
}

}  // namespace

Linear::Linear(Tensor weight, Tensor bias) : weight_(std::move(weight)), bias_(std::move(bias)) {
    if (!can_be_dense(weight_)) return;
    packed_ = std::make_shared<const kernels::PackedMatrix>(view_of(weight_).transposed());
    weight_.reset();
}

Tensor Linear::operator()(const Tensor& x, kernels::Activation activation, const Tensor& residual) const {
    if (!packed_) return plain(x, weight_, bias_, activation, residual);
    return dense(x, packed_->number(), packed_->columns(), bias_, activation, residual,
                 [&](const kernels::MatrixView& rows, const kernels::ProductTarget& target) {
                     kernels::dense_product(rows, *packed_, target);
                 });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, kernels::Activation activation,
              const Tensor& residual) {
    if (!can_be_dense(weight)) return plain(x, weight, bias, activation, residual);
    return dense(x, number_of(weight), weight.size(0), bias, activation, residual,
                 [&](const kernels::MatrixView& rows, const kernels::ProductTarget& target) {
                     kernels::dense_product(rows, view_of(weight).transposed(), target);
                 });
}

}  // namespace tg::layers
