// Sums and gathers of flat tensors over the ranks of a training run, under way while the caller computes: MPI on a
// thread of its own for memory of the host, NCCL on a stream of its own for that of a GPU. Every rank calls, in the
// same order, from its main thread, and leaves MPI alone until it has waited for what it began. The ranks are a grid:
// `shards` of them hold one copy of the state between them, and there are `replicas` such groups.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::training {

// A collective under way; its tensors must live until wait() returns, which throws what failed.
class Pending {
public:
    virtual ~Pending() = default;
    virtual void wait() = 0;
};
using Ticket = std::unique_ptr<Pending>;  // null: done already

// How the ranks are laid out. `shard_ranks` 0: all; else as many as share one copy (of contiguous numbers), or -1:
// those of a node.
struct RankGrid {
    int shard_ranks = 0;
};

class Collectives {
public:
    enum class Kind { gather, reduce };
    struct Figures {
        double gather_wait_s = 0, reduce_wait_s = 0,
               sum_wait_s = 0;  // the main thread stood still; on a GPU: the host's part of it
        // Sent by this rank, as the fewest bytes that such a collective of n ranks takes: (n - 1) / n of the whole; an
        // all-reduce twice that.
        std::uint64_t gathered_bytes = 0, reduced_bytes = 0, replicated_bytes = 0;
        double waited_s() const { return gather_wait_s + reduce_wait_s + sum_wait_s; }
        std::uint64_t sent_bytes() const { return gathered_bytes + reduced_bytes + replicated_bytes; }
    };

    virtual ~Collectives() = default;
    int shard() const { return shards_->rank(); }
    int shards() const { return shards_->size(); }
    int replica() const { return replicas_->rank(); }
    int replicas() const { return replicas_->size(); }
    const parallel::Communicator& ranks() const { return ranks_; }

    // all [shards * n]: `mine` [n] of each shard, in their order. Any element type, the same on all ranks.
    Ticket all_gather(const torch::Tensor& mine, const torch::Tensor& all);
    // mine [n]: the sum over the shards of block `shard` of all [shards * n]; fp32.
    Ticket reduce_scatter_sum(const torch::Tensor& all, const torch::Tensor& mine);
    // values [n], fp32: their sum over the replicas, the same bits on each.
    Ticket replica_sum(const torch::Tensor& values);
    void wait(Ticket& ticket, Kind kind);  // null after it

    void sum(std::span<double> values);  // over all ranks
    const Figures& figures() const { return figures_; }

protected:
    Collectives(const parallel::Communicator& ranks, RankGrid grid);
    virtual Ticket start_gather(const torch::Tensor& mine, const torch::Tensor& all) = 0;
    virtual Ticket start_reduce_scatter(const torch::Tensor& all, const torch::Tensor& mine) = 0;
    virtual Ticket start_replica_sum(const torch::Tensor& values) = 0;

    const parallel::Communicator& ranks_;
    std::unique_ptr<parallel::Communicator> shards_, replicas_;

private:
    Figures figures_;
};

// For tensors on `device`. Collective. A grid that does not fit the ranks is a usage error on all of them.
std::unique_ptr<Collectives> make_collectives(const parallel::Communicator& ranks, const torch::Device& device,
                                              RankGrid grid = {});
// In collectives_nccl.cpp; throws UsageError in a build without NCCL. One GPU a rank.
std::unique_ptr<Collectives> make_nccl_collectives(const parallel::Communicator& ranks, const torch::Device& device,
                                                   RankGrid grid);

}  // namespace tg::training
