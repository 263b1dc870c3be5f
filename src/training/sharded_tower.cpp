#include "sharded_tower.hpp"

#include "sharded_unit.hpp"

namespace tg::training {

using torch::Tensor;

ShardedTower::ShardedTower(models::VisionTower& tower, Collectives& ranks) : tower_(tower), ranks_(ranks) {
    tower_.on_block = [this](std::size_t index, bool needed) {
        if (index >= blocks_.size()) cut(index);
        else if (needed) enter(index);
        else leave(index);
    };
}

ShardedTower::~ShardedTower() { tower_.on_block = {}; }

void ShardedTower::cut(std::size_t index) {
    auto& block = blocks_.emplace_back();
    std::vector<Tensor> flat;
    std::int64_t elements = 0;
    const auto tensors = tower_.blocks().at(index);
    for (auto* tensor : tensors) {
        if (!tensor->defined()) continue;  // a model without it
        block.tensors.push_back(tensor);
        block.shapes.push_back(tensor->sizes().vec());
        flat.push_back(tensor->flatten());
        elements += tensor->numel();
        *tensor = Tensor();
    }
    const auto n = slice_elements(elements, ranks_.shards());
    flat.push_back(torch::zeros({n * ranks_.shards() - elements}, flat.front().options()));
    block.slice = torch::cat(flat).narrow(0, n * ranks_.shard(), n).clone();
}

void ShardedTower::start(std::size_t index) {
    auto& block = blocks_[index];
    block.whole = torch::empty({block.slice.numel() * ranks_.shards()}, block.slice.options());
    block.gathering = ranks_.all_gather(block.slice, block.whole);
}

void ShardedTower::enter(std::size_t index) {
    auto& block = blocks_[index];
    if (index == 0) start(0);
    ranks_.wait(block.gathering, Collectives::Kind::gather);
    if (index + 1 < blocks_.size()) start(index + 1);
    std::int64_t at = 0;
    for (std::size_t t = 0; t < block.tensors.size(); ++t) {
        const auto n = c10::multiply_integers(block.shapes[t]);
        *block.tensors[t] = block.whole.narrow(0, at, n).view(block.shapes[t]);
        at += n;
    }
}

void ShardedTower::leave(std::size_t index) {
    auto& block = blocks_[index];
    for (auto* tensor : block.tensors) *tensor = Tensor();
    block.whole = Tensor();
}

Tensor ShardedTower::features(const Tensor& pixels) {
    if (pixels.defined()) return tower_.features(pixels);
    for (std::size_t i = 0; i < blocks_.size(); ++i) enter(i), leave(i);
    return {};
}

std::int64_t ShardedTower::bytes() const {
    std::int64_t sum = 0;
    for (const auto& block : blocks_)
        sum += block.slice.numel() * static_cast<std::int64_t>(block.slice.element_size());
    return sum;
}

}  // namespace tg::training
