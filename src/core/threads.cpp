#include "taskgalaxy/core/threads.hpp"

#include <algorithm>
#include <cstdlib>
#include <sched.h>

namespace tg {

ThreadPool::ThreadPool(std::size_t threads) {
    for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i)
        threads_.emplace_back([this] {
            for (;;) {
                std::function<void()> work;
                {
                    std::unique_lock lock(mutex_);
                    wake_.wait(lock, [&] { return closing_ || !work_.empty(); });
                    if (work_.empty()) return;
                    work = std::move(work_.front());
                    work_.pop_front();
                }
                work();
            }
        });
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
}

void ThreadPool::enqueue(std::function<void()> work) {
    {
        const std::lock_guard lock(mutex_);
        work_.push_back(std::move(work));
    }
    wake_.notify_one();
}

std::size_t usable_cores() {
    if (const char* set = std::getenv("OMP_NUM_THREADS"))
        if (const int threads = std::atoi(set); threads > 0) return static_cast<std::size_t>(threads);
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        return static_cast<std::size_t>(std::max(1, CPU_COUNT(&cores)));
    return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace tg
