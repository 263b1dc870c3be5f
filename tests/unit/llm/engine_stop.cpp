// Stopping. stop_requested() has no way back after a signal, so these tests raise it by the time limit, which has.
#include <csignal>
#include <sys/resource.h>
#include <thread>

#include "loopback.hpp"

namespace tg::llm {
namespace {

struct StopNow {
    StopNow() { set_time_limit(std::chrono::seconds(0), std::chrono::seconds(0)); }
    ~StopNow() { lift(); }
    static void lift() { set_time_limit(std::chrono::hours(1000), std::chrono::seconds(0)); }
};

}  // namespace

TEST(chat_engine_stop, drains_what_is_in_flight_and_buys_nothing_twice) {
    test::TemporaryFolder folder;
    simulator::SimulatorSettings slow;
    slow.latency_ms = 50;
    simulator::Simulator server(slow, test::echo);
    std::uint64_t bought = 0;
    {
        Engine engine({{"a", test::endpoint_at(server.url())}}, test::quick_api(), folder / "journal", 0, 1);
        std::jthread stopper([&] {
            while (server.counts().answered <= 30) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            set_time_limit(std::chrono::seconds(0), std::chrono::seconds(0));
        });
        const auto outcome = test::ask(engine, 1000);
        StopNow::lift();
        EXPECT_EQ(outcome.end, RunEnd::stop_requested);
        bought = outcome.count(Reply::Status::answered);
        EXPECT_GT(bought, 16u);
        EXPECT_EQ(bought, server.counts().answered);
        EXPECT_GT(outcome.count(Reply::Status::stopped), 0u);
    }
    Engine engine({{"a", test::endpoint_at(server.url())}}, test::quick_api(), folder / "journal", 0, 1);
    const auto outcome = test::ask(engine, 200);
    EXPECT_EQ(outcome.count(Reply::Status::answered), 200u);
    EXPECT_EQ(server.counts().requests, 200u);
}

TEST(chat_engine_stop, waits_no_longer_than_the_grace_time) {
    test::TemporaryFolder folder;
    simulator::SimulatorSettings stalling;
    stalling.stall = 1;
    stalling.stall_s = 60;
    simulator::Simulator server(stalling, test::echo);
    auto api = test::quick_api();
    api.drain_s = 0.3;
    Engine engine({{"a", test::endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
    std::jthread stopper([] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        set_time_limit(std::chrono::seconds(0), std::chrono::seconds(0));
    });
    const auto outcome = test::ask(engine, 50);
    StopNow::lift();
    EXPECT_EQ(outcome.end, RunEnd::stop_requested);
    EXPECT_EQ(outcome.count(Reply::Status::stopped), outcome.replies.size());
    EXPECT_GT(outcome.replies.size(), 0u);
}

// A file that may not grow stands for the disk that is full.
TEST(chat_engine_stop, says_that_the_disk_is_full_and_loses_no_item) {
    test::TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto on_limit = std::signal(SIGXFSZ, SIG_IGN);
    {
        Engine engine({{"a", test::endpoint_at(server.url())}}, test::quick_api(), folder / "journal", 0, 1);
        const rlimit small{20'000, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
        test::Asked outcome;
        EXPECT_THROW(test::ask_into(engine, outcome, 2000), StorageError);
        ::setrlimit(RLIMIT_FSIZE, &before);
        EXPECT_GT(outcome.count(Reply::Status::answered), 0u);
        EXPECT_GT(outcome.count(Reply::Status::stopped), 0u);
        EXPECT_EQ(outcome.count(Reply::Status::failed), 0u);
    }
    std::signal(SIGXFSZ, on_limit);
    Engine engine({{"a", test::endpoint_at(server.url())}}, test::quick_api(), folder / "journal", 0, 1);
    EXPECT_EQ(test::ask(engine, 300).count(Reply::Status::answered), 300u);
}

}  // namespace tg::llm
