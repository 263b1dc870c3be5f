// Threads that work ahead of their consumer: a bounded queue and a pool whose failures reach the one who waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tg {

// Producers wait in push() while `capacity` items are queued; consumers wait in pop(). close() wakes everybody: push()
// then returns false, pop() hands out what is left and then nothing.
template <class T> class BoundedQueue {
public:
    explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

    bool push(T item) {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
        if (closed_) return false;
        items_.push_back(std::move(item));
        filled_.notify_one();
        return true;
    }

    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return closed_ || !items_.empty(); });
        if (items_.empty()) return std::nullopt;
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        room_.notify_one();
        return item;
    }

    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        filled_.notify_all();
        room_.notify_all();
    }

private:
    std::size_t capacity_;
    std::deque<T> items_;
    bool closed_ = false;
    std::mutex mutex_;
    std::condition_variable filled_, room_;
};

// A fixed number of threads; submit() returns a future that carries the result or the exception. The destructor
// finishes what was submitted.
class ThreadPool {
public:
    explicit ThreadPool(std::size_t threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    template <class Work> auto submit(Work work) -> std::future<std::invoke_result_t<Work>> {
        auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work>()>>(std::move(work));
        auto result = task->get_future();
        enqueue([task] { (*task)(); });
        return result;
    }
    std::size_t size() const { return threads_.size(); }

private:
    void enqueue(std::function<void()> work);

    std::deque<std::function<void()>> work_;
    bool closing_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::jthread> threads_;
};

// Cores this rank may use: OMP_NUM_THREADS if set, else its CPU affinity (what Slurm or mpirun bound it to).
std::size_t usable_cores();

}  // namespace tg
