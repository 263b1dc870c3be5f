// One optimiser step of a vision-language model over all ranks. The order of gathers, computations and reductions is
// written down in Trainer::Pass: a unit is gathered while the one before it computes, used, let go; on the way
// back its gradients leave as soon as they are complete, while the next are computed. At most two gathered layers and
// two layers' unreduced gradients are alive. The order is the same on every rank whatever its samples hold (text,
// pictures or nothing), so no dummy picture is needed. The loss is the mean over the supervised tokens of the whole
// global batch: the same number for any number of ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "batch.hpp"
#include "collectives.hpp"
#include "schedule.hpp"
#include "sharded_tower.hpp"
#include "sharded_unit.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::training {

struct TrainerOptions {
    torch::Device device = torch::kCPU;
    torch::Dtype dtype = torch::kFloat32;
    Sharding sharding = Sharding::optimizer;
    int shard_ranks = 0;  // Sharding::hybrid: ranks that share one copy of the state; 0: those of a node
    bool activation_checkpointing = false;
    bool shard_vision = false;  // the tower too is cut over the ranks; pictures come as pixels then
    std::int64_t loss_chunk = 1024;
    bool train_projector = true, train_language = true;
    AdamW adam;
    MomentFormat moments = MomentFormat::fp32;
    double clip_norm = 0;       // 0: none
    double projector_rate = 1;  // times the learning rate
};

struct StepResult {
    double loss = 0, gradient_norm = 0;
    std::int64_t tokens = 0, supervised = 0;  // over all ranks
    Collectives::Figures communication;       // of this rank in this step
    bool finite = true;                       // loss and norm are numbers
    bool applied = true;                      // else nothing was changed
};

class Trainer {
public:
    // `parts` described, not loaded. Reads the weights: each rank keeps its share. Collective.
    Trainer(models::VlmParts& parts, const parallel::Communicator& ranks, const TrainerOptions& options);

    // `batches`: this rank's, the same number on every rank (some may be empty). `number` from 0. Learns if loss and
    // norm are numbers and `accept`, which sees them before anything is changed and must say the same on every rank,
    // agrees. Collective.
    StepResult step(const std::vector<MicroBatch>& batches, double rate, std::int64_t number,
                    const std::function<bool(const StepResult&)>& accept = {});
    // Mean loss of batches without learning. Collective.
    double evaluate(const std::vector<MicroBatch>& batches);

    // The tower's features of pictures [B,3,S,S] -> [B*N,C]; not collective, hence not of a sharded tower.
    torch::Tensor features(const torch::Tensor& pixels) const;

    std::vector<std::unique_ptr<ShardedUnit>>& units() { return units_; }
    // Called before the optimiser changes a unit, by its place in units(): who still reads its state takes a copy or
    // keeps the caller waiting.
    void on_update(std::function<void(std::size_t unit)> callback) { on_update_ = std::move(callback); }
    Collectives& collectives() { return *collectives_; }
    // Makes the weights follow the masters after a checkpoint was read. Collective.
    void publish_weights();
    std::int64_t bytes() const;

private:
    class Pass;
    torch::Tensor seen(const MicroBatch& batch, bool pictures);
    void begin_reduction(ShardedUnit& unit, bool last);

    models::VlmParts& parts_;
    TrainerOptions options_;
    std::unique_ptr<Collectives> collectives_;
    std::unique_ptr<ShardedTower> tower_;
    std::vector<std::unique_ptr<ShardedUnit>> units_;
    ShardedUnit *projector_ = nullptr, *embeddings_ = nullptr, *head_ = nullptr;
    std::vector<ShardedUnit*> layers_, adapters_;
    ShardedUnit* reducing_ = nullptr;  // its unreduced gradients still live
    std::function<void(std::size_t)> on_update_;
};

}  // namespace tg::training
