#include "sharded_unit.hpp"

#include <algorithm>

namespace tg {

using torch::Tensor;

namespace {

constexpr std::int64_t slice_multiple = 64;  // elements: slices begin on cache lines

std::int64_t padded_slice(std::int64_t elements, std::int64_t ranks) {
    const auto share = (elements + ranks - 1) / ranks;
    return (share + slice_multiple - 1) / slice_multiple * slice_multiple;
}

}  // namespace

ShardedUnit::ShardedUnit(Unit& unit, Collectives& ranks, torch::Device device, torch::Dtype dtype, Sharding sharding, bool trained, MomentFormat moments)
    : unit_(unit), ranks_(ranks), device_(device), dtype_(dtype), sharding_(sharding), trained_(trained), elements_(unit.elements()) {
    slice_ = padded_slice(elements_, ranks.size());
    begin_ = std::min(elements_, slice_ * ranks.rank());
    count_ = std::clamp<std::int64_t>(elements_ - begin_, 0, slice_);
    const auto floats = torch::dtype(torch::kFloat32).device(device);
    const auto weights = torch::dtype(dtype).device(device);
    if (sharding == Sharding::full) value_slice_ = torch::zeros({slice_}, weights);
    else values_ = torch::zeros({slice_ * ranks.size()}, weights);
    if (trained) {
        master_ = values_.defined() && ranks.size() == 1 && dtype == torch::kFloat32 ? values_ : torch::zeros({slice_}, floats);  // one rank in fp32: the weights are the masters
        moments_ = Moments(slice_, device, moments);
        if (sharding == Sharding::optimizer) gradients_ = torch::zeros({slice_ * ranks.size()}, floats);
        gradient_slice_ = sharding == Sharding::optimizer && ranks.size() == 1 ? gradients_ : torch::zeros({slice_}, floats);
    }
    if (sharding == Sharding::optimizer) bind(values_, gradients_);
}

void ShardedUnit::bind(const Tensor& values, const Tensor& gradients) {
    std::int64_t at = 0;
    for (auto& parameter : unit_.parameters) {
        const auto n = parameter.elements();
        parameter.value = values.defined() ? values.narrow(0, at, n).view(parameter.shape) : Tensor();
        parameter.grad = gradients.defined() ? gradients.narrow(0, at, n).view(parameter.shape) : Tensor();
        at += n;
    }
}

void ShardedUnit::load(const SafetensorsFolder& files, const WeightNames& names) {
    // One parameter at a time in fp32, of which only what this rank holds stays.
    std::int64_t at = 0;
    for (auto& parameter : unit_.parameters) {
        const auto n = parameter.elements();
        const auto from = std::max(at, begin_), to = std::min(at + n, begin_ + count_);
        const bool mine = from < to;
        if (mine || sharding_ == Sharding::optimizer) {
            auto whole = torch::empty(parameter.shape, torch::kFloat32);
            read_parameter(parameter, files, names, whole);
            const auto flat = whole.view({-1});
            if (sharding_ == Sharding::optimizer) values_.narrow(0, at, n).copy_(flat);
            if (mine) {
                const auto part = flat.narrow(0, from - at, to - from);
                if (trained_) master_.narrow(0, from - begin_, to - from).copy_(part);
                if (sharding_ == Sharding::full) value_slice_.narrow(0, from - begin_, to - from).copy_(part);
            }
        }
        at += n;
    }
}

void ShardedUnit::publish_weights() {
    if (!trained_) return;
    if (sharding_ == Sharding::full) value_slice_.copy_(master_);
    else if (dtype_ == torch::kFloat32) ranks_.all_gather(master_, values_);
    else ranks_.all_gather(master_.to(dtype_), values_);
}

void ShardedUnit::gather() {
    if (sharding_ == Sharding::optimizer || users_++ > 0) return;
    values_ = torch::empty({slice_ * ranks_.size()}, value_slice_.options());
    ranks_.all_gather(value_slice_, values_);
    bind(values_, gradients_);
}

void ShardedUnit::release() {
    if (sharding_ == Sharding::optimizer || --users_ > 0) return;
    values_ = Tensor();
    bind(values_, gradients_);
}

void ShardedUnit::begin_gradients() {
    if (sharding_ == Sharding::optimizer || !trained_ || gradients_.defined()) return;
    gradients_ = torch::zeros({slice_ * ranks_.size()}, gradient_slice_.options());
    bind(values_, gradients_);
}

void ShardedUnit::end_gradients() {
    if (sharding_ == Sharding::optimizer || !trained_) return;
    auto mine = torch::empty_like(gradient_slice_);
    ranks_.reduce_scatter_sum(gradients_, mine);
    gradient_slice_.add_(mine);
    gradients_ = Tensor();
    bind(values_, gradients_);
}

void ShardedUnit::zero_gradients() {
    if (!trained_) return;
    if (sharding_ == Sharding::optimizer) gradients_.zero_();
    else gradient_slice_.zero_();
}

void ShardedUnit::reduce_gradients() {
    if (trained_ && sharding_ == Sharding::optimizer) ranks_.reduce_scatter_sum(gradients_, gradient_slice_);
}

double ShardedUnit::squared_norm() const {
    if (!trained_ || count_ == 0) return 0;
    const auto norm = at::linalg_vector_norm(gradient_slice_.narrow(0, 0, count_), 2).item<double>();
    return norm * norm;
}

void ShardedUnit::step(const AdamW& adam, double rate, double gradient_scale, std::int64_t step_number) {
    if (!trained_) return;
    if (gradient_scale != 1) gradient_slice_.mul_(gradient_scale);
    std::vector<DecayRange> ranges;  // norms and biases are not decayed
    if (adam.weight_decay == 0) ranges.push_back({0, slice_, 0});
    std::int64_t at = 0;
    for (const auto& parameter : unit_.parameters) {
        const auto n = parameter.elements();
        const auto from = std::max(at, begin_), to = std::min(at + n, begin_ + count_);
        if (adam.weight_decay != 0 && from < to) ranges.push_back({from - begin_, to - from, parameter.decays ? adam.weight_decay : 0});
        at += n;
    }
    moments_.step(master_, gradient_slice_, ranges, adam, rate, step_number);
}

std::int64_t ShardedUnit::bytes() const {
    auto sum = moments_.device_bytes();
    for (const auto* tensor : {&values_, &value_slice_, &gradients_})
        if (tensor->defined()) sum += tensor->numel() * static_cast<std::int64_t>(tensor->element_size());
    if (master_.defined() && (!values_.defined() || master_.data_ptr() != values_.data_ptr())) sum += master_.numel() * 4;
    if (gradient_slice_.defined() && (!gradients_.defined() || gradient_slice_.data_ptr() != gradients_.data_ptr())) sum += gradient_slice_.numel() * 4;
    return sum;
}

}  // namespace tg
