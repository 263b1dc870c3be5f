// Sums and gathers of flat tensors over the ranks of a training run: MPI for memory of the host, NCCL for that of a GPU. Counts the
// bytes that a rank sends and the seconds it waits. Every rank calls, in the same order, from its main thread.
#pragma once

#include <cstdint>
#include <memory>

#include "taskgalaxy/nn/torch.hpp"
#include "taskgalaxy/parallel/communicator.hpp"

namespace tg {

class Collectives {
public:
    virtual ~Collectives() = default;
    int rank() const { return ranks_.rank(); }
    int size() const { return ranks_.size(); }
    const Communicator& ranks() const { return ranks_; }

    // all [size * n]: the ranks' `mine` [n] in rank order. Any element type, the same on all ranks.
    void all_gather(const torch::Tensor& mine, const torch::Tensor& all);
    // mine [n] += nothing: it becomes the sum over ranks of block `rank` of all [size * n]; fp32.
    void reduce_scatter_sum(const torch::Tensor& all, const torch::Tensor& mine);
    double sum(double mine);

    struct Figures {
        double seconds = 0;
        std::uint64_t bytes_sent = 0;  // by ring arithmetic: (size - 1) / size of the whole
    };
    const Figures& figures() const { return figures_; }

protected:
    explicit Collectives(const Communicator& ranks) : ranks_(ranks) {}
    virtual void gather_flat(const torch::Tensor& mine, const torch::Tensor& all) = 0;
    virtual void reduce_flat(const torch::Tensor& all, const torch::Tensor& mine) = 0;

    const Communicator& ranks_;
    Figures figures_;
};

// For tensors on `device`. Collective.
std::unique_ptr<Collectives> make_collectives(const Communicator& ranks, const torch::Device& device);

}  // namespace tg
