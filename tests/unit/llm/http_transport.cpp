#include "http_transport.hpp"

#include "job.hpp"
#include "loopback.hpp"

namespace tg::llm {
namespace {

std::vector<Transport::Arrival> arrivals_of(HttpTransport& transport, std::size_t count) {
    std::vector<Transport::Arrival> all;
    while (all.size() < count)
        for (auto& arrival : transport.wait(1)) all.push_back(std::move(arrival));
    return all;
}

}  // namespace

TEST(http_transport, names_a_server_for_each_url) {
    auto endpoint = test::endpoint_at("http://left/v1/");
    endpoint.urls.push_back("http://right/v1");
    const HttpTransport transport({{"a", endpoint}}, test::quick_api());
    EXPECT_EQ(transport.servers("a"),
              (std::vector<std::string>{"http://left/v1/chat/completions", "http://right/v1/chat/completions"}));
}

TEST(http_transport, sends_a_message_as_often_as_it_is_started_and_tells_what_came) {
    simulator::SimulatorSettings limited;
    limited.requests_per_minute = 6000;
    simulator::Simulator server(limited, test::echo);
    HttpTransport transport({{"a", test::endpoint_at(server.url())}}, test::quick_api());
    const auto message = transport.prepare(test::question(3), nullptr, 0);
    Job first, second;
    transport.start(&first, "a", 0, message);
    transport.start(&second, "a", 0, message);
    EXPECT_EQ(transport.in_flight(), 2u);
    std::set<Job*> jobs;
    for (const auto& [job, outcome] : arrivals_of(transport, 2)) {
        jobs.insert(job);
        EXPECT_EQ(outcome.fate, Fate::answered);
        EXPECT_EQ(outcome.text, "answer to question 3");
        EXPECT_TRUE(outcome.paid);
        EXPECT_GT(outcome.tokens_in, 0);
        EXPECT_DOUBLE_EQ(outcome.limits.value().requests, 100) << "a second";
        EXPECT_THAT(outcome.request_id, testing::StartsWith("sim-"));
    }
    EXPECT_EQ(jobs, (std::set<Job*>{&first, &second}));
    EXPECT_EQ(transport.in_flight(), 0u);
}

TEST(http_transport, tells_that_nobody_was_there) {
    HttpTransport transport({{"a", test::endpoint_at("http://127.0.0.1:9/v1")}}, test::quick_api());
    Job job;
    transport.start(&job, "a", 0, transport.prepare(test::question(1), nullptr, 0));
    const auto outcome = arrivals_of(transport, 1).front().outcome;
    EXPECT_EQ(outcome.fate, Fate::retry);
    EXPECT_TRUE(outcome.unreached);
    EXPECT_FALSE(outcome.paid);
}

TEST(http_transport, drops_what_is_in_flight) {
    simulator::SimulatorSettings stalling;
    stalling.stall = 1, stalling.stall_s = 60;
    simulator::Simulator server(stalling, test::echo);
    HttpTransport transport({{"a", test::endpoint_at(server.url())}}, test::quick_api());
    Job job;
    transport.start(&job, "a", 0, transport.prepare(test::question(1), nullptr, 0));
    EXPECT_EQ(transport.cancel_all(), std::vector<Job*>{&job});
    EXPECT_EQ(transport.in_flight(), 0u);
    EXPECT_TRUE(transport.wait(0).empty());
}

}  // namespace tg::llm
