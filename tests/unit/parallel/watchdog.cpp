#include "watchdog.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <thread>

namespace tg::parallel {
namespace {

TEST(watchdog, ends_a_process_whose_collective_stands_still_and_names_it) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // the watchdog is a thread
    EXPECT_EXIT(
        {
            Watchdog::set_limit(std::chrono::seconds(1));
            const Watchdog::Watch watch("all-reduce");
            std::this_thread::sleep_for(std::chrono::seconds(60));
        },
        testing::KilledBySignal(SIGABRT), "collective 'all-reduce' made no progress for 1 s");
}

TEST(watchdog, leaves_collectives_that_end_alone) {
    Watchdog::set_limit(std::chrono::seconds(1));
    for (int i = 0; i < 3; ++i) {
        const Watchdog::Watch watch("barrier");
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
    Watchdog::set_limit(std::chrono::seconds(0));
}

}  // namespace
}  // namespace tg::parallel
