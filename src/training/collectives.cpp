#include "collectives.hpp"

#include <chrono>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/threads.hpp"

namespace tg::training {

namespace {

template <class T> std::span<T> span_of(const torch::Tensor& tensor) {
    return {static_cast<T*>(tensor.data_ptr()),
            static_cast<std::size_t>(tensor.numel()) * tensor.element_size() / sizeof(T)};
}
std::uint64_t bytes_of(const torch::Tensor& tensor) {
    return static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
}

class Timed {
public:
    explicit Timed(double& seconds) : seconds_(seconds) {}
    ~Timed() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
    double& seconds_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class PendingResult : public Pending {
public:
    explicit PendingResult(std::future<void> result) : result_(std::move(result)) {}
    void wait() override { result_.get(); }

private:
    std::future<void> result_;
};

// A thread hands the collectives to MPI one after the other. It sleeps until the other ranks have come to one, so that
// only the transfer itself costs the computing thread anything.
class HostCollectives : public Collectives {
public:
    HostCollectives(const parallel::Communicator& ranks, RankGrid grid) : Collectives(ranks, grid) {}
    // While an exception leaves, the other ranks may never come: what is under way is given up. They end with the job.
    ~HostCollectives() override { leave_.request_stop(); }

protected:
    Ticket start_gather(const torch::Tensor& mine, const torch::Tensor& all) override {
        return start(*shards_, [this, mine, all] {
            shards_->all_gather(span_of<const std::byte>(mine), span_of<std::byte>(all));
        });
    }
    Ticket start_reduce_scatter(const torch::Tensor& all, const torch::Tensor& mine) override {
        return start(*shards_, [this, all, mine] {
            shards_->reduce_scatter_sum(span_of<const float>(all), span_of<float>(mine));
        });
    }
    Ticket start_replica_sum(const torch::Tensor& values) override {
        return start(*replicas_, [this, values] { replicas_->all_reduce_sum(span_of<float>(values)); });
    }

private:
    template <class Work> Ticket start(const parallel::Communicator& group, Work work) {
        return std::make_unique<PendingResult>(thread_.submit([this, &group, work = std::move(work)] {
            if (leave_.stop_requested() || !group.meet(leave_.get_token()))
                throw Error(ExitCode::internal, "training was left while a collective was under way");
            work();
        }));
    }

    std::stop_source leave_;
    ThreadPool thread_{1};  // last: it ends before what it uses
};

}  // namespace

Collectives::Collectives(const parallel::Communicator& ranks, RankGrid grid) : ranks_(ranks) {
    if (grid.shard_ranks < 0) {
        shards_ = ranks.split_by_node();
        const auto most = ranks.max(std::int64_t{shards_->size()});
        parallel::together(ranks, [&] {
            if (shards_->size() != most)
                throw UsageError(
                    fmt::format("train.sharding = hybrid: a node has {} ranks and another {}", shards_->size(), most),
                    "start as many on each, or set train.shard_ranks");
        });
    } else {
        const int size = grid.shard_ranks == 0 ? ranks.size() : grid.shard_ranks;
        parallel::together(ranks, [&] {
            if (ranks.size() % size != 0)
                throw UsageError(fmt::format("train.shard_ranks = {} does not divide the {} ranks", size, ranks.size()),
                                 "start a multiple of it");
        });
        shards_ = ranks.split(ranks.rank() / size);
    }
    replicas_ = ranks.split(shards_->rank());
}

Ticket Collectives::all_gather(const torch::Tensor& mine, const torch::Tensor& all) {
    if (shards() == 1) {
        all.copy_(mine);
        return {};
    }
    figures_.gathered_bytes += bytes_of(mine) * static_cast<std::uint64_t>(shards() - 1);
    return start_gather(mine, all);
}

Ticket Collectives::reduce_scatter_sum(const torch::Tensor& all, const torch::Tensor& mine) {
    if (shards() == 1) {
        mine.copy_(all);
        return {};
    }
    figures_.reduced_bytes += bytes_of(mine) * static_cast<std::uint64_t>(shards() - 1);
    return start_reduce_scatter(all, mine);
}

Ticket Collectives::replica_sum(const torch::Tensor& values) {
    if (replicas() == 1) return {};
    figures_.replicated_bytes +=
        2 * bytes_of(values) * static_cast<std::uint64_t>(replicas() - 1) / static_cast<std::uint64_t>(replicas());
    return start_replica_sum(values);
}

void Collectives::wait(Ticket& ticket, Kind kind) {
    if (!ticket) return;
    const Timed timed(kind == Kind::gather ? figures_.gather_wait_s : figures_.reduce_wait_s);
    ticket->wait();
    ticket.reset();
}

void Collectives::sum(std::span<double> values) {
    const Timed timed(figures_.sum_wait_s);
    ranks_.meet({});  // ranks differ by milliseconds here: those that wait leave their cores to the others
    ranks_.all_reduce_sum(values);
}

std::unique_ptr<Collectives> make_collectives(const parallel::Communicator& ranks, const torch::Device& device,
                                              RankGrid grid) {
    // One rank only copies, on any device.
    if (device.is_cpu() || ranks.size() == 1) return std::make_unique<HostCollectives>(ranks, grid);
    return make_nccl_collectives(ranks, device, grid);
}

}  // namespace tg::training
