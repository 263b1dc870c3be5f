// How much memory training takes on one rank, before it is taken: pure arithmetic over the model's shape, the layout of
// the ranks and the longest micro-batch. What is said here is what ShardedUnit, DecoderLayer and LanguageModel::loss()
// allocate. All amounts are bytes but where a name says MiB.
#pragma once

#include <cstdint>
#include <vector>

#include "taskgalaxy/nn/models/llama.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/training/settings.hpp"
#include "trainer.hpp"

namespace tg::training {

struct MemoryQuestion {
    // Of a model: elements of its units by kind.
    models::LanguageConfig language;
    std::int64_t projector = 0, embeddings = 0, layer = 0, head = 0;
    std::int64_t adapters = 0;  // of a layer; the layer itself is frozen then
    std::int64_t tower = 0;     // elements of the frozen tower
    std::int64_t tower_positions = 0, tower_channels = 0, image_values = 0;  // of one tile
    // Of a run.
    bool train_projector = true, train_language = true, activation_checkpointing = false, shard_tower = false;
    int width = 4, tower_width = 4;  // bytes of a weight or an activation
    MomentFormat moments = MomentFormat::fp32;
    bool host_apart = false;  // the host's memory is not the device's
    std::int64_t shards = 1;  // ranks that share one copy of the state
    Sharding sharding = Sharding::optimizer;
    std::int64_t tokens = 0;  // positions of a micro-batch
    std::int64_t tiles = 0;   // pictures' tiles in it
    std::int64_t loss_chunk = 1024;
};

// The part about the model and the options; `ranks` in all. Tokens and tiles are left to the caller.
MemoryQuestion memory_question(models::VlmParts& parts, const TrainerOptions& options, std::int64_t shards);
// The same for a language model that is known by its configuration alone.
MemoryQuestion memory_question(const models::LanguageConfig& config, std::int64_t projector_elements);

struct MemoryPlan {
    std::int64_t weights = 0, gradients = 0, optimizer = 0;  // between steps: this rank's share
    std::int64_t tower = 0;
    std::int64_t activations = 0;  // kept for the way back, and of the layer that computes
    std::int64_t gathered = 0;     // whole units on their way through, with their unreduced gradients
    std::int64_t logits = 0;
    // All that exists at the worst moment; less than the sum, since logits and layers take turns.
    std::int64_t peak = 0;
    std::int64_t state() const { return weights + gradients + optimizer; }
};
MemoryPlan memory_plan(const MemoryQuestion& question);

// How much a rank takes of it all, as `taskgalaxy plan` says it of the ranks of train.plan_ranks, or of this launch.
std::vector<run::PlanLine> memory_lines(const TrainSettings& settings, models::VlmParts& parts);

// Memory of the device, or this node's share for one of `ranks_on_node` ranks; 0: not known.
std::int64_t memory_of(const torch::Device& device, std::int64_t ranks_on_node);
// What this process holds now of the host's.
double resident_mib();

}  // namespace tg::training
