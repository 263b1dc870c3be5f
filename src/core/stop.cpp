#include "taskgalaxy/core/stop.hpp"

#include <atomic>
#include <csignal>
#include <limits>
#include <unistd.h>

namespace tg {
namespace {

std::atomic<bool> stop_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the flag is set in a signal handler");

using Clock = std::chrono::steady_clock;
constexpr auto never = std::numeric_limits<Clock::rep>::max();
std::atomic<Clock::rep> stop_at{never};

void on_signal(int signal) {
    if (signal == SIGINT && stop_flag) _exit(128 + SIGINT);
    stop_flag = true;
}

}  // namespace

void install_stop_handlers() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (int signal : {SIGUSR1, SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
    // A reader that went away (`taskgalaxy status | head`, a server that hung up) is an error of the write, not a
    // death.
    std::signal(SIGPIPE, SIG_IGN);
}

bool stop_requested() {
    if (stop_flag) return true;
    const auto at = stop_at.load();
    return at != never && Clock::now().time_since_epoch().count() >= at;
}

void request_stop() { stop_flag = true; }

void set_time_limit(std::chrono::duration<double> limit, std::chrono::duration<double> margin) {
    const auto at = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit - margin);
    stop_at = at.time_since_epoch().count();
}

std::optional<double> seconds_left() {
    const auto at = stop_at.load();
    if (at == never) return std::nullopt;
    return std::chrono::duration<double>(Clock::duration(at) - Clock::now().time_since_epoch()).count();
}

}  // namespace tg
