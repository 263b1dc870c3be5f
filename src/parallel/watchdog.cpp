#include "watchdog.hpp"

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <thread>

#include "taskgalaxy/core/log.hpp"

namespace tg::parallel {
namespace {

using Clock = std::chrono::steady_clock;
std::atomic<Clock::rep> limit_ticks{0};
std::atomic<Clock::rep> started{0};
std::atomic<const char*> current{nullptr};
std::atomic<int> depth{0};
std::atomic<pthread_t> waiting{};

void keep_watch() {
    for (;;) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        const auto limit = limit_ticks.load();
        const auto begin = started.load();
        if (limit == 0 || begin == 0) continue;
        if (Clock::now().time_since_epoch().count() - begin < limit) continue;
        const char* name = current.load();
        log::error(
            "rank stalled: collective '{}' made no progress for {} s (a rank died or hangs); the job is ended, the "
            "same command goes on",
            name ? name : "?", std::chrono::duration_cast<std::chrono::seconds>(Clock::duration(limit)).count());
        log::flush();
        // Not MPI_Abort: it needs the progress engine that may be the very thing that is stuck. The launcher ends the
        // other ranks. Sent to the thread that stands still, whose calls are then in the log; one that waits for a dead
        // file system cannot even be signalled.
        pthread_kill(waiting.load(), SIGABRT);
        std::this_thread::sleep_for(std::chrono::seconds(2));
        std::_Exit(128 + SIGABRT);
    }
}

}  // namespace

void Watchdog::set_limit(std::chrono::seconds limit) {
    static std::once_flag once;
    limit_ticks = Clock::duration(limit).count();
    if (limit.count() > 0) std::call_once(once, [] { std::thread(keep_watch).detach(); });
}

Watchdog::Watch::Watch(const char* name) {
    if (depth++ > 0) return;
    current = name;
    waiting = pthread_self();
    started = Clock::now().time_since_epoch().count();
}

Watchdog::Watch::~Watch() {
    if (--depth == 0) started = 0;
}

}  // namespace tg::parallel
