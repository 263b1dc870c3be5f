#include "sharded_unit.hpp"

#include <algorithm>

namespace tg::training {

using torch::Tensor;

namespace {

bool same_memory(const Tensor& a, const Tensor& b) {
    return a.defined() && b.defined() && a.data_ptr() == b.data_ptr();
}

}  // namespace

std::int64_t slice_elements(std::int64_t unit_elements, std::int64_t shards) {
    constexpr std::int64_t multiple = 64;
    const auto share = (unit_elements + shards - 1) / shards;
    return (share + multiple - 1) / multiple * multiple;
}

ShardedUnit::ShardedUnit(layers::Unit& unit, Collectives& ranks, torch::Device device, torch::Dtype dtype,
                         Sharding sharding, bool trained, MomentFormat moments)
    : unit_(unit),
      ranks_(ranks),
      device_(device),
      dtype_(dtype),
      trained_(trained),
      whole_(sharding == Sharding::optimizer || ranks.shards() == 1),
      elements_(unit.elements()) {
    slice_ = slice_elements(elements_, ranks.shards());
    begin_ = std::min(elements_, slice_ * ranks.shard());
    count_ = std::clamp<std::int64_t>(elements_ - begin_, 0, slice_);
    const auto zeros = [&](std::int64_t n, torch::Dtype type) {
        return torch::zeros({n}, torch::dtype(type).device(device));
    };
    const bool masters_serve =
        trained && dtype == torch::kFloat32 && (!whole_ || ranks.shards() == 1);  // as the rank's share of the values
    if (trained) {
        master_ = zeros(slice_, torch::kFloat32);
        moments_ = Moments(slice_, device, moments);
        gradient_slice_ = zeros(slice_, torch::kFloat32);
    }
    auto& values = whole_ ? values_ : value_slice_;
    values = masters_serve ? master_ : zeros(whole_ ? slice_ * ranks.shards() : slice_, dtype);
    if (whole_ && trained)
        gradients_ = ranks.shards() == 1 ? gradient_slice_ : zeros(slice_ * ranks.shards(), torch::kFloat32);
    if (whole_) bind(values_, gradients_);
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

void ShardedUnit::load(const storage::SafetensorsFolder& files, const layers::WeightNames& names) {
    // One parameter at a time in fp32, of which only what this rank holds stays.
    std::int64_t at = 0;
    for (auto& parameter : unit_.parameters) {
        const auto n = parameter.elements();
        const auto from = std::max(at, begin_), to = std::min(at + n, begin_ + count_);
        const bool mine = from < to;
        if (mine || whole_) {
            auto read = torch::empty(parameter.shape, torch::kFloat32);
            layers::read_parameter(parameter, files, names, read);
            const auto flat = read.view({-1});
            if (whole_) values_.narrow(0, at, n).copy_(flat);
            if (mine) {
                const auto part = flat.narrow(0, from - at, to - from);
                if (trained_) master_.narrow(0, from - begin_, to - from).copy_(part);
                if (!whole_) value_slice_.narrow(0, from - begin_, to - from).copy_(part);
            }
        }
        at += n;
    }
}

void ShardedUnit::start_publish() {
    const auto& mine = whole_ ? values_ : value_slice_;
    if (!trained_ || same_memory(mine, master_)) return;
    if (!whole_) {
        value_slice_.copy_(master_);
        return;
    }
    sent_ = dtype_ == torch::kFloat32 ? master_ : master_.to(dtype_);
    gathering_ = ranks_.all_gather(sent_, values_);
}

void ShardedUnit::finish_publish() {
    if (!whole_) return;
    ranks_.wait(gathering_, Collectives::Kind::gather);
    sent_ = Tensor();
}

void ShardedUnit::start_gather() {
    if (whole_ || values_.defined()) return;
    values_ = torch::empty({slice_ * ranks_.shards()}, value_slice_.options());
    gathering_ = ranks_.all_gather(value_slice_, values_);
}

void ShardedUnit::gather() {
    if (whole_ || users_++ > 0) return;
    start_gather();
    ranks_.wait(gathering_, Collectives::Kind::gather);
    bind(values_, gradients_);
}

void ShardedUnit::release() {
    if (whole_ || --users_ > 0) return;
    values_ = Tensor();
    bind(values_, gradients_);
}

void ShardedUnit::begin_gradients() {
    if (whole_ || !trained_ || gradients_.defined()) return;
    gradients_ = torch::zeros({slice_ * ranks_.shards()}, gradient_slice_.options());
    bind(values_, gradients_);
}

void ShardedUnit::end_gradients(bool last) {
    if (!trained_ || ranks_.shards() == 1 || (whole_ && !last)) return;
    reduced_ = whole_ ? gradient_slice_ : torch::empty_like(gradient_slice_);
    reducing_ = ranks_.reduce_scatter_sum(gradients_, reduced_);
}

void ShardedUnit::finish_gradients() {
    if (!reducing_) return;
    ranks_.wait(reducing_, Collectives::Kind::reduce);
    if (!whole_) {
        gradient_slice_.add_(reduced_);
        gradients_ = Tensor();
        bind(values_, gradients_);
    }
    reduced_ = Tensor();
}

void ShardedUnit::zero_gradients() {
    if (trained_) (whole_ ? gradients_ : gradient_slice_).zero_();
}

void ShardedUnit::start_replica_sum() {
    if (trained_) reducing_ = ranks_.replica_sum(gradient_slice_);
}

void ShardedUnit::finish_replica_sum() { ranks_.wait(reducing_, Collectives::Kind::reduce); }

double sum_of_squares(const torch::Tensor& values) {
    constexpr std::int64_t row = 256;
    const auto n = values.size(0), rows = n / row;
    auto sum = at::linalg_vector_norm(values.narrow(0, rows * row, n % row), 2).to(torch::kFloat64).square();
    if (rows > 0)
        sum += at::linalg_vector_norm(values.narrow(0, 0, rows * row).view({rows, row}), 2, at::IntArrayRef{1})
                   .to(torch::kFloat64)
                   .square()
                   .sum();
    return sum.item<double>();
}

double ShardedUnit::squared_norm() const {
    return trained_ && count_ > 0 ? sum_of_squares(gradient_slice_.narrow(0, 0, count_)) : 0;
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
        if (adam.weight_decay != 0 && from < to)
            ranges.push_back({from - begin_, to - from, parameter.decays ? adam.weight_decay : 0});
        at += n;
    }
    moments_.step(master_, gradient_slice_, ranges, adam, rate, step_number);
}

std::int64_t ShardedUnit::bytes() const {
    auto sum = moments_.device_bytes();
    for (const auto* tensor : {&values_, &value_slice_, &gradients_})
        if (tensor->defined()) sum += tensor->numel() * static_cast<std::int64_t>(tensor->element_size());
    if (master_.defined() && !same_memory(master_, values_) && !same_memory(master_, value_slice_))
        sum += master_.numel() * 4;
    if (gradient_slice_.defined() && !same_memory(gradient_slice_, gradients_)) sum += gradient_slice_.numel() * 4;
    return sum;
}

}  // namespace tg::training
