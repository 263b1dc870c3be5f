// A frozen vision tower that is too large for every rank (InternViT-6B): its blocks cut over the ranks, each gathered
// for the moment it computes, the next one meanwhile. One gather a block and micro-batch, forward only: nothing of it
// learns.
#pragma once

#include <vector>

#include "collectives.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::training {

class ShardedTower {
public:
    // Before the tower is loaded: of what is read, each rank keeps its share at once.
    ShardedTower(models::VisionTower& tower, Collectives& ranks);
    ~ShardedTower();

    // As VisionTower::features(); undefined pixels: this rank has none, and only takes part. Collective.
    torch::Tensor features(const torch::Tensor& pixels);
    std::int64_t bytes() const;  // of this rank's shares

private:
    struct Block {
        std::vector<torch::Tensor*> tensors;
        std::vector<std::vector<std::int64_t>> shapes;
        torch::Tensor slice, whole;  // [n] of this rank; [shards * n] while needed
        Ticket gathering;
    };
    void cut(std::size_t index);
    void start(std::size_t index);
    void enter(std::size_t index);
    void leave(std::size_t index);

    models::VisionTower& tower_;
    Collectives& ranks_;
    std::vector<Block> blocks_;
};

}  // namespace tg::training
