#include "taskgalaxy/core/threads.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <stdexcept>

namespace tg {

TEST(thread_pool, hands_results_and_failures_to_the_one_who_waits) {
    ThreadPool pool(3);
    auto good = pool.submit([] { return 42; });
    auto bad = pool.submit([]() -> int { throw std::runtime_error("broken"); });
    EXPECT_EQ(good.get(), 42);
    EXPECT_THROW(bad.get(), std::runtime_error);
}

TEST(thread_pool, finishes_what_was_submitted) {
    std::atomic<int> done{0};
    {
        ThreadPool pool(2);
        for (int i = 0; i < 100; ++i) pool.submit([&] { ++done; });
    }
    EXPECT_EQ(done, 100);
}

TEST(bounded_queue, passes_everything_in_order_and_holds_back_producers) {
    BoundedQueue<int> queue(2);
    std::atomic<int> pushed{0};
    std::jthread producer([&] {
        for (int i = 0; i < 100; ++i) {
            queue.push(i);
            ++pushed;
        }
        queue.close();
    });
    for (int i = 0; i < 100; ++i) {
        EXPECT_LE(pushed, i + 3);
        EXPECT_EQ(queue.pop(), i);
    }
    EXPECT_EQ(queue.pop(), std::nullopt);
    EXPECT_FALSE(queue.push(1));
}

}  // namespace tg
