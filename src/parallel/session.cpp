#include "taskgalaxy/parallel/session.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mpi.h>
#include <stdexcept>
#include <thread>

#include "lifeline.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "watchdog.hpp"

namespace tg::parallel {
namespace {

// MPI counts are int: longer messages go in pieces of this many elements.
constexpr std::size_t piece = std::size_t{1} << 28;

void must(int code, const char* call) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw Error(ExitCode::internal,
                std::string(call) + " failed: " + std::string(text, static_cast<std::size_t>(length)));
}

// One collective under way: watched, and counted with the bytes that this rank gives or receives.
struct Call {
    Call(const char* name, std::size_t bytes) : watch(name), count(bytes) {}
    Watchdog::Watch watch;
    CountedCollective count;
};

template <class T> MPI_Datatype type_of();
template <> MPI_Datatype type_of<float>() { return MPI_FLOAT; }
template <> MPI_Datatype type_of<double>() { return MPI_DOUBLE; }
template <> MPI_Datatype type_of<std::int64_t>() { return MPI_INT64_T; }

class MpiCommunicator final : public Communicator {
public:
    // Takes ownership of `comm` if `owned`.
    MpiCommunicator(MPI_Comm comm, bool owned) : comm_(comm), owned_(owned) {
        MPI_Comm_rank(comm_, &rank_);
        MPI_Comm_size(comm_, &size_);
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    }
    ~MpiCommunicator() override {
        int finalized = 0;
        MPI_Finalized(&finalized);
        // While unwinding, other ranks may never reach this collective free; the process is about to leave anyway.
        if (owned_ && !finalized && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    const void* native() const override { return &comm_; }

    void barrier() const override {
        const Call call("barrier", 0);
        must(MPI_Barrier(comm_), "MPI_Barrier");
    }
    bool meet(std::stop_token leave) const override {
        const Watchdog::Watch watch("meeting of the ranks");  // its wait is hidden behind work, hence no cost
        MPI_Request request;
        must(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
        for (auto pause = std::chrono::microseconds(10);; pause = std::min(2 * pause, std::chrono::microseconds(200))) {
            int met = 0;
            must(MPI_Test(&request, &met, MPI_STATUS_IGNORE), "MPI_Test");
            if (met) return true;
            if (leave.stop_requested()) return false;
            std::this_thread::sleep_for(pause);
        }
    }
    bool any(bool mine) const override {
        int flag = mine ? 1 : 0;
        const Call call("any", sizeof flag);
        must(MPI_Allreduce(MPI_IN_PLACE, &flag, 1, MPI_INT, MPI_MAX, comm_), "MPI_Allreduce");
        return flag != 0;
    }
    std::int64_t sum(std::int64_t mine) const override { return reduce(mine, MPI_SUM); }
    std::int64_t max(std::int64_t mine) const override { return reduce(mine, MPI_MAX); }
    double sum(double mine) const override { return reduce(mine, MPI_SUM); }
    double max(double mine) const override { return reduce(mine, MPI_MAX); }
    std::int64_t sum_before(std::int64_t mine) const override {
        std::int64_t before = 0;
        const Call call("prefix sum", sizeof mine);
        must(MPI_Exscan(&mine, &before, 1, MPI_INT64_T, MPI_SUM, comm_), "MPI_Exscan");
        return rank_ == 0 ? 0 : before;  // undefined on rank 0 by the standard
    }

    void broadcast_bytes(std::vector<std::byte>& bytes, int root) const override {
        auto length = static_cast<std::uint64_t>(bytes.size());
        {
            const Call call("broadcast", sizeof length);
            must(MPI_Bcast(&length, 1, MPI_UINT64_T, root, comm_), "MPI_Bcast");
        }
        if (length == 0) return bytes.clear();
        bytes.resize(length);
        const Call call("broadcast", length);
        for (std::size_t at = 0; at < bytes.size(); at += piece)
            must(MPI_Bcast(bytes.data() + at, static_cast<int>(std::min(piece, bytes.size() - at)), MPI_BYTE, root,
                           comm_),
                 "MPI_Bcast");
    }

    std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> mine, int root) const override {
        const Call call("gather", mine.size());
        const auto length = static_cast<std::int64_t>(mine.size());
        const auto longest = max(length);
        const auto total = sum(length);
        if (longest > std::numeric_limits<int>::max() || total > std::numeric_limits<int>::max())
            throw std::length_error("a gather is for small messages; this one is " + std::to_string(total) +
                                    " bytes in all");
        std::vector<int> lengths(rank_ == root ? static_cast<std::size_t>(size_) : 0), offsets(lengths.size());
        const int my_length = static_cast<int>(length);
        must(MPI_Gather(&my_length, 1, MPI_INT, lengths.data(), 1, MPI_INT, root, comm_), "MPI_Gather");
        for (std::size_t r = 1; r < offsets.size(); ++r) offsets[r] = offsets[r - 1] + lengths[r - 1];
        std::vector<std::byte> all(rank_ == root ? static_cast<std::size_t>(total) : 0);
        must(MPI_Gatherv(mine.data(), my_length, MPI_BYTE, all.data(), lengths.data(), offsets.data(), MPI_BYTE, root,
                         comm_),
             "MPI_Gatherv");
        std::vector<std::vector<std::byte>> out;
        for (std::size_t r = 0; r < lengths.size(); ++r)
            out.emplace_back(all.begin() + offsets[r], all.begin() + offsets[r] + lengths[r]);
        return out;
    }

    void all_reduce_sum(std::span<float> values) const override { reduce_in_place(values); }
    void all_reduce_sum(std::span<double> values) const override { reduce_in_place(values); }
    void all_reduce_sum(std::span<std::int64_t> values) const override { reduce_in_place(values); }

    void reduce_scatter_sum(std::span<const float> values, std::span<float> mine) const override {
        require(values.size() == mine.size() * static_cast<std::size_t>(size_), "reduce_scatter_sum");
        const Call call("reduce-scatter", values.size_bytes());
        must(MPI_Reduce_scatter_block(values.data(), mine.data(), count_of(mine.size(), "reduce_scatter_sum"),
                                      MPI_FLOAT, MPI_SUM, comm_),
             "MPI_Reduce_scatter_block");
    }
    void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const override {
        require(all.size() == mine.size() * static_cast<std::size_t>(size_), "all_gather");
        const Call call("all-gather", all.size());
        // In units of 64 bytes where possible, so that a block may pass 2 GiB.
        if (mine.size() % 64 == 0 && !mine.empty()) {
            MPI_Datatype line;
            must(MPI_Type_contiguous(64, MPI_BYTE, &line), "MPI_Type_contiguous");
            must(MPI_Type_commit(&line), "MPI_Type_commit");
            const int code = MPI_Allgather(mine.data(), count_of(mine.size() / 64, "all_gather"), line, all.data(),
                                           count_of(mine.size() / 64, "all_gather"), line, comm_);
            MPI_Type_free(&line);
            must(code, "MPI_Allgather");
        } else {
            must(MPI_Allgather(mine.data(), count_of(mine.size(), "all_gather"), MPI_BYTE, all.data(),
                               count_of(mine.size(), "all_gather"), MPI_BYTE, comm_),
                 "MPI_Allgather");
        }
    }
    void exchange(std::span<const std::byte> out, int to, std::span<std::byte> in, int from) const override {
        const Call call("exchange", out.size() + in.size());
        for (std::size_t at = 0; at < std::max(out.size(), in.size()); at += piece) {
            const auto length = [at](std::size_t size) {
                return static_cast<int>(size > at ? std::min(piece, size - at) : 0);
            };
            must(MPI_Sendrecv(out.data() + std::min(at, out.size()), length(out.size()), MPI_BYTE, to, 0,
                              in.data() + std::min(at, in.size()), length(in.size()), MPI_BYTE, from, 0, comm_,
                              MPI_STATUS_IGNORE),
                 "MPI_Sendrecv");
        }
    }

    std::unique_ptr<Communicator> split(int colour) const override {
        MPI_Comm part = MPI_COMM_NULL;
        must(MPI_Comm_split(comm_, colour < 0 ? MPI_UNDEFINED : colour, rank_, &part), "MPI_Comm_split");
        if (part == MPI_COMM_NULL) return nullptr;
        return std::make_unique<MpiCommunicator>(part, true);
    }
    std::unique_ptr<Communicator> split_by_node() const override {
        MPI_Comm part = MPI_COMM_NULL;
        must(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &part), "MPI_Comm_split_type");
        return std::make_unique<MpiCommunicator>(part, true);
    }

private:
    static void require(bool holds, const char* call) {
        if (!holds) throw std::length_error(std::string(call) + ": the spans do not fit the number of ranks");
    }
    static int count_of(std::size_t count, const char* call) {
        require(count <= static_cast<std::size_t>(std::numeric_limits<int>::max()), call);
        return static_cast<int>(count);
    }
    template <class T> T reduce(T mine, MPI_Op op) const {
        const Call call("reduce", sizeof mine);
        T out;
        must(MPI_Allreduce(&mine, &out, 1, type_of<T>(), op, comm_), "MPI_Allreduce");
        return out;
    }
    template <class T> void reduce_in_place(std::span<T> values) const {
        const Call call("all-reduce", values.size_bytes());
        for (std::size_t at = 0; at < values.size(); at += piece)
            must(MPI_Allreduce(MPI_IN_PLACE, values.data() + at, static_cast<int>(std::min(piece, values.size() - at)),
                               type_of<T>(), MPI_SUM, comm_),
                 "MPI_Allreduce");
    }

    MPI_Comm comm_;
    bool owned_;
    int rank_ = 0, size_ = 1;
};

// A line of one rank that the others do not say: only rank 0's console speaks, so the others' goes past it.
void speak_alone(const Communicator& world, const std::string& message) {
    log::error("{}", message);
    log::flush();
    if (!world.is_root()) std::fprintf(stderr, "taskgalaxy: rank %d: %s\n", world.rank(), message.c_str());
    std::fflush(nullptr);
}

// Each rank watches the next. The launcher notices a lost rank within this time, or not at all.
constexpr std::chrono::seconds grace{10};

std::unique_ptr<Lifeline> watch_next(const Communicator& world) {
    auto lifeline = std::make_unique<Lifeline>();
    const int next = (world.rank() + 1) % world.size(), before = (world.rank() + world.size() - 1) % world.size();
    auto address = lifeline->address(), theirs = address;
    world.exchange(std::as_bytes(std::span(&address, 1)), before, std::as_writable_bytes(std::span(&theirs, 1)), next);
    lifeline->watch(next, theirs, grace, [&world](const std::string& line) {
        speak_alone(world, line);
        std::_Exit(128 + SIGABRT);  // not MPI_Abort: see the watchdog
    });
    return lifeline;
}

}  // namespace

Session::Session(int& argc, char**& argv) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
    if (provided < MPI_THREAD_SERIALIZED) {
        std::fprintf(stderr,
                     "taskgalaxy: this MPI library offers no thread support (MPI_THREAD_SERIALIZED is needed); use "
                     "another build of it\n");
        MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::internal));
    }
    world_ = std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, false);
    if (!world_->is_root()) log::silence_console();
    if (world_->size() > 1) lifeline_ = watch_next(*world_);
}

Session::~Session() {
    lifeline_.reset();
    world_.reset();
    Watchdog::set_limit(std::chrono::seconds(0));
    MPI_Finalize();
}

void Session::watch_collectives(std::chrono::seconds limit) { Watchdog::set_limit(limit); }

int run_guarded(const Communicator& world, const std::function<int()>& work) {
    const auto alone = [&](ExitCode code, const std::string& message) {
        speak_alone(world, message);
        // The others do not know and may wait in a collective for this rank: end them.
        if (world.size() > 1) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
        return static_cast<int>(code);
    };
    try {
        return work();
    } catch (const AgreedFailure& error) {
        const auto line = error.failed_rank() == 0 ? std::string(error.what())
                                                   : fmt::format("rank {}: {}", error.failed_rank(), error.what());
        if (error.code() == ExitCode::done) log::warn("{}", line);  // as a budget that is spent: an end, no failure
        else log::error("{}", line);
        log::flush();
        return static_cast<int>(error.code());
    } catch (const Error& error) {
        return alone(error.code(), error.what());
    } catch (const std::exception& error) {
        return alone(ExitCode::internal, std::string("internal error: ") + error.what());
    }
}

}  // namespace tg::parallel
