#include "taskgalaxy/core/threads.hpp"

#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>

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

TEST(usable_cores, are_shared_by_the_ranks_of_a_node_unless_the_user_says) {
    const char* set = std::getenv("OMP_NUM_THREADS");
    const std::string before = set ? set : "";
    ::unsetenv("OMP_NUM_THREADS");
    const auto alone = usable_cores();
    EXPECT_GE(alone, 1U);
    share_node(1000000);
    EXPECT_EQ(usable_cores(), 1U);
    ::setenv("OMP_NUM_THREADS", "7", 1);
    EXPECT_EQ(usable_cores(), 7U);
    share_node(1);
    ::unsetenv("OMP_NUM_THREADS");
    EXPECT_EQ(usable_cores(), alone);
    if (set) ::setenv("OMP_NUM_THREADS", before.c_str(), 1);
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
