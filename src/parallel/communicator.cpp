#include "taskgalaxy/parallel/communicator.hpp"

#include <algorithm>
#include <stdexcept>

namespace tg::parallel {
namespace {

// What a failing rank tells the others: its exit code, then its message.
struct Failure {
    ExitCode code = ExitCode::internal;
    std::string message;
    template <class Self> static auto fields(Self& self) { return std::tie(self.code, self.message); }
};

Failure failure_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const Error& error) {
        return {error.code(), error.what()};
    } catch (const std::bad_alloc&) {
        return {ExitCode::internal, "out of memory"};
    } catch (const std::exception& error) {
        return {ExitCode::internal, error.what()};
    } catch (...) {
        return {ExitCode::internal, "an unknown exception"};
    }
}

class Solo final : public Communicator {
public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    void barrier() const override {}
    bool meet(std::stop_token) const override { return true; }
    bool any(bool mine) const override { return mine; }
    std::int64_t sum(std::int64_t mine) const override { return mine; }
    std::int64_t max(std::int64_t mine) const override { return mine; }
    double sum(double mine) const override { return mine; }
    double max(double mine) const override { return mine; }
    std::int64_t sum_before(std::int64_t) const override { return 0; }
    void broadcast_bytes(std::vector<std::byte>&, int) const override {}
    std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> mine, int) const override {
        return {{mine.begin(), mine.end()}};
    }
    void all_reduce_sum(std::span<float>) const override {}
    void all_reduce_sum(std::span<double>) const override {}
    void all_reduce_sum(std::span<std::int64_t>) const override {}
    void reduce_scatter_sum(std::span<const float> values, std::span<float> mine) const override {
        std::copy(values.begin(), values.end(), mine.begin());
    }
    void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const override {
        std::copy(mine.begin(), mine.end(), all.begin());
    }
    void exchange(std::span<const std::byte> out, int, std::span<std::byte> in, int) const override {
        std::copy_n(out.begin(), in.size(), in.begin());
    }
    std::unique_ptr<Communicator> split(int colour) const override { return colour < 0 ? nullptr : make_solo(); }
    std::unique_ptr<Communicator> split_by_node() const override { return make_solo(); }
    const void* native() const override { return nullptr; }
};

class Pretend final : public Communicator {
public:
    Pretend(int rank, int size) : rank_(rank), size_(size) {}
    int rank() const override { return rank_; }
    int size() const override { return size_; }
    void barrier() const override { alone(); }
    bool meet(std::stop_token) const override { alone(); }
    bool any(bool) const override { alone(); }
    std::int64_t sum(std::int64_t) const override { alone(); }
    std::int64_t max(std::int64_t) const override { alone(); }
    double sum(double) const override { alone(); }
    double max(double) const override { alone(); }
    std::int64_t sum_before(std::int64_t) const override { alone(); }
    void broadcast_bytes(std::vector<std::byte>&, int) const override { alone(); }
    std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte>, int) const override { alone(); }
    void all_reduce_sum(std::span<float>) const override { alone(); }
    void all_reduce_sum(std::span<double>) const override { alone(); }
    void all_reduce_sum(std::span<std::int64_t>) const override { alone(); }
    void reduce_scatter_sum(std::span<const float>, std::span<float>) const override { alone(); }
    void all_gather(std::span<const std::byte>, std::span<std::byte>) const override { alone(); }
    void exchange(std::span<const std::byte>, int, std::span<std::byte>, int) const override { alone(); }
    std::unique_ptr<Communicator> split(int) const override { alone(); }
    std::unique_ptr<Communicator> split_by_node() const override { alone(); }
    const void* native() const override { return nullptr; }

private:
    [[noreturn]] static void alone() { throw std::logic_error("a collective was called on a pretended rank"); }
    int rank_, size_;
};

}  // namespace

std::unique_ptr<Communicator> make_solo() { return std::make_unique<Solo>(); }
std::unique_ptr<Communicator> make_pretend(int rank, int size) { return std::make_unique<Pretend>(rank, size); }

void agree(const Communicator& ranks, std::exception_ptr mine) {
    // The lowest failing rank speaks for all; size() - rank so that a maximum finds it.
    const auto speaker =
        ranks.size() - static_cast<int>(ranks.max(std::int64_t{mine ? ranks.size() - ranks.rank() : 0}));
    if (speaker == ranks.size()) return;
    Failure failure;
    if (ranks.rank() == speaker) failure = failure_of(mine);
    failure = ranks.broadcast(std::move(failure), speaker);
    throw AgreedFailure(failure.code, speaker, failure.message);
}

}  // namespace tg::parallel
