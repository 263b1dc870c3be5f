// A group of ranks and what they say to each other. Three kinds: MPI, Solo (one process, no launcher) and Pretend (any
// rank of any size, for tests of arithmetic; its collectives throw). <mpi.h> stays in src/parallel. One
// thread at a time may call these (MPI_THREAD_SERIALIZED): who hands them to a thread of its own leaves MPI alone
// meanwhile. Every collective must be called by every rank of the group, in the same order; MPI's own errors and the
// watchdog end the job, so no call returns on one rank and hangs on another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/parallel/message.hpp"

namespace tg::parallel {

class Communicator {
public:
    virtual ~Communicator() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    bool is_root() const { return rank() == 0; }

    virtual void barrier() const = 0;
    // A barrier that sleeps, for a thread that must not take the core of the one that computes. False: `leave` was
    // asked for before the others came; the group is then of no further use.
    virtual bool meet(std::stop_token leave) const = 0;
    virtual bool any(bool mine) const = 0;  // true everywhere if true on one rank
    virtual std::int64_t sum(std::int64_t mine) const = 0;
    virtual std::int64_t max(std::int64_t mine) const = 0;
    virtual double sum(double mine) const = 0;
    virtual double max(double mine) const = 0;
    // Sum of `mine` over the ranks before this one (0 on rank 0): where this rank's rows begin.
    virtual std::int64_t sum_before(std::int64_t mine) const = 0;

    // Bytes of any length, past 2^31 too, in place: `bytes` is replaced on every rank but `root`.
    virtual void broadcast_bytes(std::vector<std::byte>& bytes, int root = 0) const = 0;
    // On root: one entry a rank, in rank order; elsewhere empty. For small messages (no all-to-one of whole data).
    virtual std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> mine, int root = 0) const = 0;
    // Every rank gets root's value (parallel/message.hpp: what can be sent).
    template <class T> T broadcast(T value, int root = 0) const {
        auto bytes = rank() == root ? to_message(value) : std::vector<std::byte>();
        broadcast_bytes(bytes, root);
        return rank() == root ? std::move(value) : from_message<T>(bytes);
    }
    template <class T> std::vector<T> gather(const T& mine, int root = 0) const {
        std::vector<T> all;
        for (const auto& bytes : gather_bytes(to_message(mine), root)) all.push_back(from_message<T>(bytes));
        return all;
    }

    // Elementwise sum over ranks, in place, the same bits on every rank.
    virtual void all_reduce_sum(std::span<float> values) const = 0;
    virtual void all_reduce_sum(std::span<double> values) const = 0;
    virtual void all_reduce_sum(std::span<std::int64_t> values) const = 0;
    // values.size() must be mine.size() * size(): rank r receives the sum of every rank's block r.
    virtual void reduce_scatter_sum(std::span<const float> values, std::span<float> mine) const = 0;
    // all.size() must be mine.size() * size(): the ranks' blocks in rank order.
    virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const = 0;
    // Sends `out` to `to` while receiving `in` from `from`: blocks passed around a ring.
    virtual void exchange(std::span<const std::byte> out, int to, std::span<std::byte> in, int from) const = 0;

    // Ranks that give the same colour form a new group, in rank order; a negative colour gets an empty pointer.
    virtual std::unique_ptr<Communicator> split(int colour) const = 0;
    virtual std::unique_ptr<Communicator> split_by_node() const = 0;  // those that share this rank's memory

    // The MPI_Comm, as an opaque pointer to it; only storage asks, for parallel HDF5. Null where MPI is not running.
    virtual const void* native() const = 0;
};

// A single process without MPI: every collective is the identity.
std::unique_ptr<Communicator> make_solo();
// Rank `rank` of `size`, alone; every collective throws std::logic_error.
std::unique_ptr<Communicator> make_pretend(int rank, int size);

// A failure that all ranks know of: agree() throws the same one on every rank, with the message and exit code of the
// lowest failing rank.
class AgreedFailure : public Error {
public:
    AgreedFailure(ExitCode code, int failed_rank, const std::string& message)
        : Error(code, message), failed_rank_(failed_rank) {}
    int failed_rank() const { return failed_rank_; }

private:
    int failed_rank_;
};

// Collective. Returns when `mine` is null on every rank; else throws AgreedFailure on every rank.
void agree(const Communicator& ranks, std::exception_ptr mine);

// Local work of every rank, then a shared verdict. `work` must hold no collective: it would hang when one rank throws.
template <class Work> void together(const Communicator& ranks, Work&& work) {
    std::exception_ptr mine;
    try {
        work();
    } catch (...) {  // not swallowed: agree() throws it on every rank
        mine = std::current_exception();
    }
    agree(ranks, mine);
}

}  // namespace tg::parallel
