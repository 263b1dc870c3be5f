#include "collectives.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

#ifdef TASKGALAXY_WITH_CUDA

#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

namespace tg::training {

namespace {

void must(ncclResult_t result, const char* call) {
    if (result != ncclSuccess)
        throw Error(ExitCode::internal, fmt::format("{} failed: {}", call, ncclGetErrorString(result)),
                    "NCCL_DEBUG=INFO says more");
}
void must(cudaError_t result, const char* call) {
    if (result != cudaSuccess)
        throw Error(ExitCode::internal, fmt::format("{} failed: {}", call, cudaGetErrorString(result)));
}

class NcclGroup {
public:
    explicit NcclGroup(const parallel::Communicator& ranks) {
        if (ranks.size() == 1) return;
        std::vector<std::byte> id(sizeof(ncclUniqueId));
        if (ranks.is_root()) must(ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(id.data())), "ncclGetUniqueId");
        ranks.broadcast_bytes(id);
        must(ncclCommInitRank(&comm_, ranks.size(), *reinterpret_cast<ncclUniqueId*>(id.data()), ranks.rank()),
             "ncclCommInitRank");
    }
    ~NcclGroup() {  // abort: destroying would wait for ranks that have failed
        if (comm_) ncclCommAbort(comm_);
    }
    NcclGroup(const NcclGroup&) = delete;
    NcclGroup& operator=(const NcclGroup&) = delete;
    ncclComm_t get() const { return comm_; }

private:
    ncclComm_t comm_ = nullptr;
};

class Event {
public:
    Event() { must(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate"); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    cudaEvent_t get() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

// The computing stream goes on behind this event; the host does not stand still.
class PendingOnStream : public Pending {
public:
    explicit PendingOnStream(cudaStream_t stream) { must(cudaEventRecord(done_.get(), stream), "cudaEventRecord"); }
    void wait() override {
        must(cudaStreamWaitEvent(c10::cuda::getCurrentCUDAStream(), done_.get(), 0), "cudaStreamWaitEvent");
    }

private:
    Event done_;
};

// A stream of its own, which begins behind what the computing stream was given so far. Memory that the allocator hands
// out again to the computing stream is safe: each side waits for the other before it touches a buffer.
class NcclCollectives : public Collectives {
public:
    NcclCollectives(const parallel::Communicator& ranks, const torch::Device& device, RankGrid grid)
        : Collectives(ranks, grid),
          stream_(c10::cuda::getStreamFromPool(true, device.index())),
          shard_group_(*shards_),
          replica_group_(*replicas_) {}

protected:
    Ticket start_gather(const torch::Tensor& mine, const torch::Tensor& all) override {
        return start([&] {
            must(ncclAllGather(mine.data_ptr(), all.data_ptr(),
                               static_cast<std::size_t>(mine.numel()) * mine.element_size(), ncclUint8,
                               shard_group_.get(), stream_),
                 "ncclAllGather");
        });
    }
    Ticket start_reduce_scatter(const torch::Tensor& all, const torch::Tensor& mine) override {
        return start([&] {
            must(ncclReduceScatter(all.data_ptr(), mine.data_ptr(), static_cast<std::size_t>(mine.numel()), ncclFloat32,
                                   ncclSum, shard_group_.get(), stream_),
                 "ncclReduceScatter");
        });
    }
    Ticket start_replica_sum(const torch::Tensor& values) override {
        return start([&] {
            must(ncclAllReduce(values.data_ptr(), values.data_ptr(), static_cast<std::size_t>(values.numel()),
                               ncclFloat32, ncclSum, replica_group_.get(), stream_),
                 "ncclAllReduce");
        });
    }

private:
    template <class Call> Ticket start(Call call) {
        const Event ready;
        must(cudaEventRecord(ready.get(), c10::cuda::getCurrentCUDAStream()), "cudaEventRecord");
        must(cudaStreamWaitEvent(stream_, ready.get(), 0), "cudaStreamWaitEvent");
        call();
        return std::make_unique<PendingOnStream>(stream_);
    }

    c10::cuda::CUDAStream stream_;
    NcclGroup shard_group_, replica_group_;
};

}  // namespace

std::unique_ptr<Collectives> make_nccl_collectives(const parallel::Communicator& ranks, const torch::Device& device,
                                                   RankGrid grid) {
    return std::make_unique<NcclCollectives>(ranks, device, grid);
}

}  // namespace tg::training

#else

namespace tg::training {

std::unique_ptr<Collectives> make_nccl_collectives(const Communicator&, const torch::Device&, RankGrid) {
    throw UsageError("training over several GPUs needs a build with NCCL",
                     "build with a libtorch of CUDA, set train.device = cpu, or run one rank");
}

}  // namespace tg::training

#endif
