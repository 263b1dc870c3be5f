#include "taskgalaxy/core/costs.hpp"

#include <atomic>
#include <mutex>
#include <utility>

namespace tg {
namespace {

using Clock = std::chrono::steady_clock;

struct Meter {
    std::atomic<std::int64_t> operations{0}, bytes{0}, ticks{0};
    void add(std::int64_t count, std::uint64_t size, Clock::time_point since) {
        operations += count;
        bytes += static_cast<std::int64_t>(size);
        ticks += (Clock::now() - since).count();
    }
    double seconds() const { return std::chrono::duration<double>(Clock::duration(ticks.load())).count(); }
};
Meter collectives, files;

std::mutex phases_mutex;
std::map<std::string, Cost> phases;

Cost combined(const Cost& a, const Cost& b, int sign) {
    return {a.calls + sign * b.calls,
            a.seconds + sign * b.seconds,
            a.collectives + sign * b.collectives,
            a.collective_bytes + sign * b.collective_bytes,
            a.collective_s + sign * b.collective_s,
            a.file_operations + sign * b.file_operations,
            a.file_bytes + sign * b.file_bytes,
            a.file_s + sign * b.file_s};
}

}  // namespace

Cost operator+(const Cost& a, const Cost& b) { return combined(a, b, 1); }
Cost operator-(const Cost& a, const Cost& b) { return combined(a, b, -1); }

CountedCollective::~CountedCollective() { collectives.add(1, bytes_, start_); }
CountedFileWork::~CountedFileWork() { files.add(operations_, bytes_, start_); }

Cost costs_so_far() {
    return {0,
            0,
            collectives.operations,
            collectives.bytes,
            collectives.seconds(),
            files.operations,
            files.bytes,
            files.seconds()};
}

CostPhase::~CostPhase() {
    auto cost = costs_so_far() - before_;
    cost.calls = 1;
    cost.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const std::lock_guard lock(phases_mutex);
    auto& all = phases[name_];
    all = all + cost;
}

std::map<std::string, Cost> take_phase_costs() {
    const std::lock_guard lock(phases_mutex);
    return std::exchange(phases, {});
}

}  // namespace tg
