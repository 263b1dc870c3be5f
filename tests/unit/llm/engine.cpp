#include <set>
#include <sys/stat.h>

#include "loopback.hpp"
#include "taskgalaxy/core/digest.hpp"

namespace tg::llm {
namespace {

using test::ask;
using test::endpoint_at;
using test::quick_api;
using test::TemporaryFolder;
using Status = Reply::Status;

std::string stop_reason(Engine& engine, int count, const std::string& endpoint = "a") {
    try {
        ask(engine, count, {}, endpoint);
    } catch (const EndpointError& e) {
        return e.what();
    }
    return {};
}

}  // namespace

TEST(chat_engine, answers_every_request_once_and_counts_what_it_cost) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    const auto outcome = ask(engine, 300);
    ASSERT_EQ(outcome.replies.size(), 300u);
    for (const auto& [number, reply] : outcome.replies)
        EXPECT_EQ(reply.text, fmt::format("answer to question {}", number));
    const auto figures = engine.figures();
    const auto& f = figures.by_endpoint_and_stage.at({"a", "test"});
    EXPECT_EQ(f.asked, 300u);
    EXPECT_EQ(f.answered, 300u);
    EXPECT_EQ(f.sent, 300u);
    EXPECT_EQ(f.tokens_in, server.counts().tokens_in);
    EXPECT_EQ(f.tokens_out, server.counts().tokens_out);
    EXPECT_NEAR(f.usd, (1.0 * static_cast<double>(f.tokens_in) + 2.0 * static_cast<double>(f.tokens_out)) * 1e-6,
                1e-12);
    EXPECT_TRUE(figures.price_known);
}

TEST(chat_engine, sends_the_picture_whole_and_encodes_it_only_when_it_is_sent) {
    TemporaryFolder folder;
    std::atomic<int> encoded = 0;
    simulator::Simulator server({}, [](const simulator::SimulatedCall& call) {
        return std::string(reinterpret_cast<const char*>(call.image.data()), call.image.size());
    });
    const auto submit_one = [&](Engine& engine, std::string& answer) {
        auto r = test::question(1);
        r.image_digest = digest_of("picture");
        r.image = [&] {
            ++encoded;
            return std::make_shared<const ChatImage>(ChatImage{"image/jpeg", "aGVsbG8gcGljdHVyZQ==", 100, 100});
        };
        engine.submit(r, {}, [&](Reply reply) { answer = reply.text; });
        engine.run({});
    };
    for (int life = 0; life < 2; ++life) {
        Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
        std::string answer;
        submit_one(engine, answer);
        EXPECT_EQ(answer, "hello picture");
    }
    EXPECT_EQ(encoded, 1) << "the second life took the answer from the journal";
}

TEST(chat_engine, records_a_picture_that_cannot_be_read_and_goes_on) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    Reply broken, fine;
    auto r = test::question(1);
    r.image = []() -> std::shared_ptr<const ChatImage> { throw InputError("x.jpg: cut short"); };
    engine.submit(r, {}, [&](Reply reply) { broken = reply; });
    engine.submit(test::question(2), {}, [&](Reply reply) { fine = reply; });
    engine.run({});
    EXPECT_EQ(broken.status, Status::failed);
    EXPECT_THAT(broken.failure, testing::HasSubstr("x.jpg: cut short"));
    EXPECT_EQ(fine.status, Status::answered);
}

TEST(chat_engine, loses_nothing_to_a_server_with_every_fault_that_passes) {
    TemporaryFolder folder;
    simulator::SimulatorSettings faulty;
    faulty.rate_limited = 0.05;
    faulty.error_500 = faulty.error_503 = 0.03;
    faulty.reset = faulty.cut_body = faulty.broken_json = faulty.html = faulty.refusal = 0.03;
    faulty.stall = 0.01, faulty.stall_s = 30;
    faulty.slow_drip = 0.01, faulty.drip_s = 0.2;
    simulator::Simulator server(faulty, test::echo);
    auto api = quick_api();
    api.ask_again = 8;
    auto endpoint = endpoint_at(server.url());
    endpoint.timeout_s = 0.7;
    endpoint.requests_per_minute = 60'000;  // refusals at random teach no lower limit, which would be waited for
    Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
    const auto outcome = ask(engine, 500);
    EXPECT_EQ(outcome.count(Status::answered), 500u);
    for (const auto& [number, reply] : outcome.replies)
        EXPECT_EQ(reply.text, fmt::format("answer to question {}", number));
    const auto figures = engine.figures();
    const auto& f = figures.by_endpoint_and_stage.at({"a", "test"});
    EXPECT_GT(f.retries, 20u);
    EXPECT_GT(f.asked_again, 10u);
    EXPECT_GT(f.rate_limited, 5u);
}

TEST(chat_engine, a_429_burns_no_attempt) {
    TemporaryFolder folder;
    simulator::SimulatorSettings refusing;
    refusing.rate_limited = 0.3;
    simulator::Simulator server(refusing, test::echo);
    auto api = quick_api();
    api.attempts = 1;
    api.backoff_longest_s = 0.02;
    auto endpoint = endpoint_at(server.url());
    endpoint.requests_per_minute = 60'000;  // as above
    Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 30).count(Status::answered), 30u);
}

TEST(chat_engine, gives_a_request_up_after_its_attempts_and_says_why) {
    TemporaryFolder folder;
    simulator::SimulatorSettings settings;
    settings.error_500 = 0.4;
    settings.request_log = folder / "requests.jsonl";
    simulator::Simulator server(settings, test::echo);
    auto api = quick_api();
    api.attempts = 2;
    api.max_failure_share = 1;
    Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
    const auto outcome = ask(engine, 200);
    EXPECT_GT(outcome.count(Status::failed), 20u);
    EXPECT_EQ(outcome.count(Status::failed) + outcome.count(Status::answered), 200u);
    std::map<std::string, int> tries;
    for (const auto& line : test::log_lines(folder / "requests.jsonl")) ++tries[line["content"]];
    for (const auto& [number, reply] : outcome.replies)
        if (reply.status == Status::failed) {
            EXPECT_THAT(reply.failure, testing::StartsWith("server error: HTTP 500: The server had an error"));
        }
    EXPECT_EQ(engine.figures().by_endpoint_and_stage.at({"a", "test"}).failed_by_class.at("server error"),
              outcome.count(Status::failed));
}

TEST(chat_engine, asks_again_what_cannot_be_used_with_another_seed_and_then_keeps_the_raw_text) {
    TemporaryFolder folder;
    std::mutex mutex;
    std::map<std::string, std::vector<std::int64_t>> seeds;
    simulator::Simulator server({}, [&](const simulator::SimulatedCall& call) {
        const std::lock_guard lock(mutex);
        seeds[call.user].push_back(call.sampling_seed);
        return call.user == "question 1" ? std::string("never")
               : call.sampling_seed < 6  ? std::string("perhaps")
                                         : std::string("yes");
    });
    auto endpoint = endpoint_at(server.url());
    endpoint.seed = 5;
    Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
    const auto outcome =
        ask(engine, 2, [](std::string_view answer) { return answer == "yes" ? "" : "neither yes nor no"; });
    EXPECT_EQ(outcome.replies.at(0).text, "yes");
    EXPECT_EQ(seeds["question 0"], (std::vector<std::int64_t>{5, 6}));
    EXPECT_EQ(outcome.replies.at(1).status, Status::failed);
    EXPECT_EQ(outcome.replies.at(1).text, "never");
    EXPECT_EQ(outcome.replies.at(1).failure, "not as asked: neither yes nor no");
    EXPECT_EQ(seeds["question 1"], (std::vector<std::int64_t>{5, 6, 7}));
    const auto figures = engine.figures();
    EXPECT_EQ(figures.by_endpoint_and_stage.at({"a", "test"}).tokens_in, server.counts().tokens_in)
        << "unusable answers were paid for";
}

TEST(chat_engine, does_not_ask_twice_what_the_server_will_never_answer) {
    TemporaryFolder folder;
    simulator::Simulator server({}, [](const simulator::SimulatedCall& call) -> std::string {
        if (call.user == "question 3") throw InputError("this picture is no picture");
        return "fine";
    });
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    const auto outcome = ask(engine, 5);
    EXPECT_EQ(outcome.replies.at(3).status, Status::failed);
    EXPECT_THAT(outcome.replies.at(3).failure,
                testing::StartsWith("bad request: HTTP 400: this picture is no picture"));
    EXPECT_EQ(server.counts().requests, 5u);
}

TEST(chat_engine, answers_from_the_journal_in_the_next_life_and_counts_the_earlier_cost) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    double usd = 0;
    {
        Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
        ask(engine, 100);
        usd = engine.figures().usd;
    }
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    const auto outcome = ask(engine, 120);
    EXPECT_EQ(outcome.count(Status::answered), 120u);
    EXPECT_TRUE(outcome.replies.at(99).from_journal);
    EXPECT_FALSE(outcome.replies.at(100).from_journal);
    EXPECT_EQ(outcome.replies.at(99).text, "answer to question 99");
    EXPECT_EQ(server.counts().requests, 120u) << "100 in the first life, 20 in the second";
    const auto figures = engine.figures();
    const auto& f = figures.by_endpoint_and_stage.at({"a", "test"});
    EXPECT_EQ(f.from_journal, 100u);
    EXPECT_NEAR(f.usd_before, usd, 1e-12);
    EXPECT_NEAR(figures.usd, f.usd + f.usd_before, 1e-12);
}

TEST(chat_engine, asks_anew_where_todays_grammar_refuses_the_kept_answer) {
    TemporaryFolder folder;
    simulator::Simulator server({}, [](const simulator::SimulatedCall& call) {
        return call.attempt == 0 ? std::string("old") : std::string("new");
    });
    {
        Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
        ask(engine, 1);
    }
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    const auto outcome = ask(engine, 1, [](std::string_view answer) { return answer == "new" ? "" : "too old"; });
    EXPECT_EQ(outcome.replies.at(0).text, "new");
}

TEST(chat_engine, asks_failures_again_in_the_next_life_unless_told_not_to) {
    TemporaryFolder folder;
    bool broken = true;
    simulator::Simulator server({}, [&](const simulator::SimulatedCall&) -> std::string {
        if (broken) throw InputError("not today");
        return "fine";
    });
    auto api = quick_api();
    {
        Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
        EXPECT_EQ(ask(engine, 3).count(Status::failed), 3u);
    }
    api.retry_failed = false;
    broken = false;
    {
        Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
        const auto outcome = ask(engine, 3);
        EXPECT_EQ(outcome.count(Status::failed), 3u);
        EXPECT_TRUE(outcome.replies.at(0).from_journal);
        EXPECT_THAT(outcome.replies.at(0).failure, testing::HasSubstr("not today"));
    }
    api.retry_failed = true;
    Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 3).count(Status::answered), 3u);
}

TEST(chat_engine, sends_identical_requests_once) {
    TemporaryFolder folder;
    simulator::SimulatorSettings slow;
    slow.latency_ms = 50;
    simulator::Simulator server(slow, test::echo);
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    int answered = 0;
    for (int i = 0; i < 7; ++i)
        engine.submit(test::question(1), {}, [&](Reply reply) { answered += reply.text == "answer to question 1"; });
    engine.run({});
    EXPECT_EQ(answered, 7);
    EXPECT_EQ(server.counts().requests, 1u);
}

TEST(chat_engine, serves_higher_priority_first) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    auto endpoint = endpoint_at(server.url());
    endpoint.concurrency = 1;
    Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
    std::vector<int> order;
    for (int i = 0; i < 6; ++i) {
        auto r = test::question(i);
        r.priority = i % 3;
        engine.submit(r, {}, [&order, i](Reply) { order.push_back(i); });
    }
    engine.run({});
    EXPECT_EQ(order, (std::vector{2, 5, 1, 4, 0, 3}));
}

TEST(chat_engine, lets_answers_lead_to_further_questions) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    int last = 0;
    std::function<void(int)> chain = [&](int n) {
        engine.submit(test::question(n), {}, [&, n](Reply) {
            last = n;
            if (n < 30) chain(n + 1);
        });
    };
    chain(1);
    EXPECT_EQ(engine.run({}), RunEnd::finished);
    EXPECT_EQ(last, 30);
}

TEST(chat_engine, keeps_only_the_wanted_number_queued) {
    TemporaryFolder folder;
    simulator::SimulatorSettings slow;
    slow.latency_ms = 2;
    simulator::Simulator server(slow, test::echo);
    auto api = quick_api();
    api.queued_items = 20;
    Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
    std::uint64_t fed = 0, ended = 0, most_queued = 0;
    engine.run([&] {
        if (fed == 1000) return false;
        engine.submit(test::question(static_cast<int>(fed++)), {}, [&](Reply) { ++ended; });
        most_queued = std::max(most_queued, fed - engine.figures().by_endpoint_and_stage.at({"a", "test"}).sent);
        return true;
    });
    EXPECT_EQ(ended, 1000u);
    EXPECT_LE(most_queued, 20u) << "given and not yet sent; what is in flight or waits for the disk does not count";
}

TEST(chat_engine, passes_on_what_a_callback_throws_after_keeping_what_was_in_flight) {
    TemporaryFolder folder;
    simulator::SimulatorSettings slow;
    slow.latency_ms = 50;
    simulator::Simulator server(slow, test::echo);
    {
        Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
        int ended = 0;
        for (int i = 0; i < 50; ++i)
            engine.submit(test::question(i), {}, [&](Reply) {
                if (++ended == 1) throw InputError("the callback fails");
            });
        EXPECT_THROW(engine.run({}), InputError);
        EXPECT_EQ(ended, 50) << "each `done` is called, whatever happens";
    }
    const auto paid = server.counts().answered;
    EXPECT_LT(paid, 50u);
    Engine engine({{"a", endpoint_at(server.url())}}, quick_api(), folder / "journal", 0, 1);
    ask(engine, 50);
    EXPECT_EQ(server.counts().answered, 50u) << "nothing was bought twice";
}

TEST(chat_engine, stops_at_once_on_a_wrong_key_and_says_so_without_the_key) {
    TemporaryFolder folder;
    ::setenv("TG_TEST_SERVER_KEY", "right-key", 1);
    ::setenv("TG_TEST_KEY", "wrong-key-4711", 1);
    simulator::SimulatorSettings settings;
    settings.key_env = "TG_TEST_SERVER_KEY";
    simulator::Simulator server(settings, test::echo);
    auto endpoint = endpoint_at(server.url());
    endpoint.api_key_env = "TG_TEST_KEY";
    {
        Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
        const auto reason = stop_reason(engine, 1000);
        EXPECT_THAT(reason, testing::HasSubstr("endpoint a at http://127.0.0.1"));
        EXPECT_THAT(reason, testing::HasSubstr("wrong key (HTTP 401: Incorrect API key provided: (key))"));
        EXPECT_THAT(reason, testing::Not(testing::HasSubstr("4711")));
        EXPECT_LE(server.counts().requests, 16u) << "no more than were in flight";
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
        if (!entry.is_regular_file()) continue;
        std::ifstream in(entry.path());
        const std::string text((std::istreambuf_iterator<char>(in)), {});
        EXPECT_THAT(text, testing::Not(testing::HasSubstr("4711"))) << entry.path();
    }
    EXPECT_THROW(check_endpoints({{"a", endpoint}}, quick_api()), EndpointError);
    ::setenv("TG_TEST_KEY", "right-key", 1);
    EXPECT_NO_THROW(check_endpoints({{"a", endpoint}}, quick_api()));
    Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 20).count(Status::answered), 20u) << "the same command goes on after the mend";
}

TEST(chat_engine, wants_its_key_to_exist_and_to_be_private) {
    TemporaryFolder folder;
    auto endpoint = endpoint_at("http://127.0.0.1:9/v1");
    endpoint.api_key_env = "TG_TEST_NO_SUCH_KEY";
    EXPECT_THROW(Engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1), EndpointError);
    endpoint.api_key_env.clear();
    endpoint.api_key_file = folder / "key";
    std::ofstream(folder / "key") << "secret\n";
    ::chmod((folder / "key").c_str(), 0644);
    EXPECT_THROW(Engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1), EndpointError);
    ::chmod((folder / "key").c_str(), 0600);
    EXPECT_NO_THROW(Engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1));
}

TEST(chat_engine, stops_on_an_unknown_model_an_exhausted_quota_and_an_unknown_host) {
    TemporaryFolder folder;
    simulator::SimulatorSettings settings;
    settings.models = {"other"};
    simulator::Simulator other(settings, test::echo);
    {
        Engine engine({{"a", endpoint_at(other.url())}}, quick_api(), folder / "j1", 0, 1);
        EXPECT_THAT(stop_reason(engine, 50),
                    testing::HasSubstr("unknown model (HTTP 404: The model `stand-in` does not exist"));
    }
    settings = {};
    settings.quota_tokens = 200;
    simulator::Simulator poor(settings, test::echo);
    {
        Engine engine({{"a", endpoint_at(poor.url())}}, quick_api(), folder / "j2", 0, 1);
        EXPECT_THAT(stop_reason(engine, 500), testing::HasSubstr("quota exhausted"));
    }
    {
        Engine engine({{"a", endpoint_at("http://no-such-host.invalid/v1")}}, quick_api(), folder / "j3", 0, 1);
        EXPECT_THAT(stop_reason(engine, 50), testing::HasSubstr("unknown host"));
    }
}

TEST(chat_engine, waits_for_a_server_that_is_away_and_gives_it_up_when_that_takes_too_long) {
    TemporaryFolder folder;
    auto api = quick_api();
    api.first_answer_s = 0.5;
    Engine engine({{"a", endpoint_at("http://127.0.0.1:9/v1")}}, api, folder / "journal", 0, 1);
    EXPECT_THAT(stop_reason(engine, 50), testing::HasSubstr("nothing but failures for"));
    EXPECT_LE(engine.figures().by_endpoint_and_stage.at({"a", "test"}).sent, 30u)
        << "a dead server is probed, not hammered";
}

TEST(chat_engine, stops_when_too_many_requests_are_given_up) {
    TemporaryFolder folder;
    simulator::Simulator server({}, [](const simulator::SimulatedCall&) -> std::string { throw InputError("no"); });
    auto api = quick_api();
    api.max_failure_share = 0.3;
    api.failure_share_after = 50;
    Engine engine({{"a", endpoint_at(server.url())}}, api, folder / "journal", 0, 1);
    EXPECT_THAT(stop_reason(engine, 5000), testing::HasSubstr("more than api.max_failure_share = 0.3"));
    EXPECT_LT(server.counts().requests, 400u);
}

TEST(chat_engine, stops_at_its_budget_and_goes_on_when_it_is_raised) {
    TemporaryFolder folder;
    simulator::Simulator server({}, test::echo);
    auto endpoint = endpoint_at(server.url());
    endpoint.price_in = 1000;  // about 1.8 cents a question
    endpoint.price_out = 1000;
    endpoint.max_tokens = 20;
    auto api = quick_api();
    api.budget_usd = 1;
    {
        Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
        const auto outcome = ask(engine, 500);
        EXPECT_EQ(outcome.end, RunEnd::budget);
        EXPECT_EQ(outcome.replies.size(), 500u);
        EXPECT_GT(outcome.count(Status::answered), 20u);
        EXPECT_EQ(outcome.count(Status::answered) + outcome.count(Status::stopped), 500u);
        EXPECT_LE(engine.figures().usd, 1.0);
        EXPECT_GT(engine.figures().usd, 0.95) << "only what the last request might have cost is left";
    }
    const auto bought = server.counts().answered;
    {
        Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
        EXPECT_EQ(ask(engine, 500).end, RunEnd::budget);
        EXPECT_LE(server.counts().answered, bought + 2) << "the earlier cost counts";
    }
    api.budget_usd = 0;
    Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 500).count(Status::answered), 500u);
    EXPECT_EQ(server.counts().answered, 500u);
}

TEST(chat_engine, never_spends_more_than_its_budget_though_answers_are_longer_than_those_before) {
    TemporaryFolder folder;
    std::atomic<int> calls{0};
    simulator::Simulator server({}, [&](const simulator::SimulatedCall& call) {
        return "answer to " + call.user + (++calls > 40 ? std::string(700, '.') : "");
    });
    auto endpoint = endpoint_at(server.url());
    endpoint.price_in = 0;
    endpoint.price_out = 1000;
    endpoint.max_tokens = 200;
    auto api = quick_api();
    api.budget_usd = 2.5;
    Engine engine({{"a", endpoint}}, api, folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 500).end, RunEnd::budget);
    EXPECT_LE(engine.figures().usd, 2.5);
    EXPECT_GT(engine.figures().usd, 2.25);
}

TEST(chat_engine, wants_prices_where_there_is_a_budget) {
    TemporaryFolder folder;
    auto endpoint = endpoint_at("http://127.0.0.1:9/v1");
    endpoint.price_out = -1;
    auto api = quick_api();
    api.budget_usd = 5;
    EXPECT_THROW(Engine({{"a", endpoint}}, api, folder / "journal", 0, 1), UsageError);
}

TEST(chat_engine, spreads_over_replicas_and_sets_a_dead_one_aside) {
    TemporaryFolder folder;
    simulator::SimulatorSettings slow;
    slow.latency_ms = 5;
    simulator::Simulator one(slow, test::echo), two(slow, test::echo);
    auto endpoint = endpoint_at(one.url());
    endpoint.urls = {one.url(), "http://127.0.0.1:9/v1", two.url()};
    Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 400).count(Status::answered), 400u);
    EXPECT_GT(one.counts().answered, 100u);
    EXPECT_GT(two.counts().answered, 100u);
}

TEST(chat_engine, keeps_the_limit_it_learns_from_headers) {
    TemporaryFolder folder;
    simulator::SimulatorSettings limited;
    limited.requests_per_minute = 1200;
    limited.latency_ms = 20;
    simulator::Simulator server(limited, test::echo);
    auto endpoint = endpoint_at(server.url());
    endpoint.concurrency = 8;
    Engine engine({{"a", endpoint}}, quick_api(), folder / "journal", 0, 1);
    EXPECT_EQ(ask(engine, 1).count(Status::answered), 1u);  // the header is there before many can be sent without it
    EXPECT_EQ(ask(engine, 30).count(Status::answered), 30u);
    const auto state = engine.figures().endpoints.at("a");
    EXPECT_TRUE(state.limit_learned);
    EXPECT_LE(state.limit_requests_per_minute, 1200.5);
    EXPECT_GE(state.limit_requests_per_minute, 1000);
}

TEST(chat_engine, names_the_endpoints_when_one_is_unknown) {
    TemporaryFolder folder;
    Engine engine({{"a", endpoint_at("http://127.0.0.1:9/v1")}}, quick_api(), folder / "journal", 0, 1);
    EXPECT_THROW(engine.submit(test::question(1, "b"), {}, [](Reply) {}), UsageError);
}

}  // namespace tg::llm
