// The engine over a transport in memory: no sockets, and nothing that waits for another machine.
#include "engine_loop.hpp"

#include "loopback.hpp"
#include "memory_transport.hpp"

namespace tg::llm {
namespace {

using test::answered;
using test::came_to;
using test::MemoryTransport;
using test::TemporaryFolder;
using Call = MemoryTransport::Call;
using Status = Reply::Status;

ApiSettings instant_api() {
    auto api = test::quick_api();
    api.backoff_first_s = api.backoff_longest_s = 0.001;
    api.journal_group_ms = 1;
    return api;
}

// An engine whose endpoint "a" is answered by a script; the transport stays within reach.
struct ScriptedEngine {
    explicit ScriptedEngine(MemoryTransport::Script script, ApiSettings api = instant_api(),
                            EndpointSettings endpoint = test::endpoint_at("http://nowhere/v1"),
                            std::vector<std::string> servers = {"memory"})
        : engine({{"a", endpoint}}, api, folder / "journal", 0, 1, [&] {
              auto made = std::make_unique<MemoryTransport>(std::move(script), std::move(servers));
              transport = made.get();
              return made;
          }) {}

    EndpointFigures figures() const { return engine.figures().by_endpoint_and_stage.at({"a", "test"}); }

    TemporaryFolder folder;
    MemoryTransport* transport = nullptr;
    Engine engine;
};

void expect_that_counts_add_up(const EndpointFigures& f) {
    EXPECT_EQ(f.asked, f.answered + f.from_journal + f.failed + f.stopped);
}

}  // namespace

TEST(engine_loop, answers_every_request_and_pays_as_the_transport_says) {
    ScriptedEngine scene([](const Call& call) { return answered("answer to " + call.request.user); });
    const auto outcome = test::ask(scene.engine, 100);
    ASSERT_EQ(outcome.replies.size(), 100u);
    for (const auto& [number, reply] : outcome.replies)
        EXPECT_EQ(reply.text, fmt::format("answer to question {}", number));
    const auto f = scene.figures();
    EXPECT_EQ(f.answered, 100u);
    EXPECT_EQ(f.sent, 100u);
    EXPECT_EQ(f.tokens_in, 1000);
    EXPECT_NEAR(f.usd, (1000 * 1 + 500 * 2) * 1e-6, 1e-12);
    expect_that_counts_add_up(f);
}

TEST(engine_loop, keeps_no_more_in_flight_than_the_endpoint_allows) {
    auto endpoint = test::endpoint_at("http://nowhere/v1");
    endpoint.concurrency = 3;
    ScriptedEngine scene([](const Call&) { return answered("yes"); }, instant_api(), endpoint);
    EXPECT_EQ(test::ask(scene.engine, 50).count(Status::answered), 50u);
    EXPECT_EQ(scene.transport->most_in_flight, 3u);
}

TEST(engine_loop, tries_again_what_failed_in_passing_until_its_attempts_are_used_up) {
    auto api = instant_api();
    api.attempts = 3;
    ScriptedEngine scene(
        [](const Call& call) {
            const int bad = call.request.item == "item 0" ? 2 : 3;
            return call.sending < bad ? came_to(Fate::retry, "time-out", "too slow") : answered("at last");
        },
        api);
    const auto outcome = test::ask(scene.engine, 2);
    EXPECT_EQ(outcome.replies.at(0).text, "at last");
    EXPECT_EQ(outcome.replies.at(1).status, Status::failed);
    EXPECT_EQ(outcome.replies.at(1).failure, "time-out: too slow");
    const auto f = scene.figures();
    EXPECT_EQ(f.sent, 6u);
    EXPECT_EQ(f.retries, 4u);
    EXPECT_EQ(f.failed_by_class.at("time-out"), 1u);
    expect_that_counts_add_up(f);
}

TEST(engine_loop, burns_no_attempt_where_a_limit_refused_or_nobody_was_there) {
    auto api = instant_api();
    api.attempts = 1;
    ScriptedEngine scene(
        [](const Call& call) {
            auto outcome = came_to(call.sending == 0 ? Fate::wait : Fate::retry, "not now");
            outcome.overloaded = call.sending == 0;
            outcome.wait_s = 0;
            outcome.unreached = call.sending == 1;
            return call.sending < 2 ? outcome : answered("yes");
        },
        api);
    EXPECT_EQ(test::ask(scene.engine, 1).count(Status::answered), 1u);
    EXPECT_EQ(scene.figures().rate_limited, 1u);
    EXPECT_EQ(scene.figures().retries, 1u);
}

TEST(engine_loop, asks_again_for_an_answer_that_cannot_be_used_and_pays_for_each) {
    ScriptedEngine scene([](const Call& call) { return answered(call.asking < 2 ? "perhaps" : "yes"); });
    const auto outcome =
        test::ask(scene.engine, 1, [](std::string_view text) { return text == "yes" ? "" : "neither yes nor no"; });
    EXPECT_EQ(outcome.replies.at(0).text, "yes");
    EXPECT_EQ(scene.figures().asked_again, 2u);
    EXPECT_EQ(scene.figures().tokens_in, 30);
}

TEST(engine_loop, sends_what_was_refused_for_good_once_and_keeps_the_reason) {
    ScriptedEngine scene([](const Call&) { return came_to(Fate::give_up, "bad request", "no such picture"); });
    const auto outcome = test::ask(scene.engine, 3);
    EXPECT_EQ(outcome.count(Status::failed), 3u);
    EXPECT_EQ(outcome.replies.at(1).failure, "bad request: no such picture");
    EXPECT_EQ(scene.transport->started, 3);
    EXPECT_EQ(scene.figures().usd, 0);
}

TEST(engine_loop, gives_up_what_the_transport_cannot_prepare_and_goes_on) {
    class Picky : public MemoryTransport {
    public:
        using MemoryTransport::MemoryTransport;
        std::shared_ptr<const Message> prepare(const Request& request, const ChatImage* image,
                                               int asking) const override {
            if (request.item == "item 1") throw InputError("too long for this model");
            return MemoryTransport::prepare(request, image, asking);
        }
    };
    TemporaryFolder folder;
    Engine engine({{"a", test::endpoint_at("http://nowhere/v1")}}, instant_api(), folder / "journal", 0, 1,
                  [] { return std::make_unique<Picky>([](const Call&) { return answered("yes"); }); });
    const auto outcome = test::ask(engine, 3);
    EXPECT_EQ(outcome.count(Status::answered), 2u);
    EXPECT_EQ(outcome.replies.at(1).failure, "request: too long for this model");
}

TEST(engine_loop, sends_a_request_that_is_given_twice_once) {
    ScriptedEngine scene([](const Call&) { return answered("yes"); });
    std::vector<std::string> answers;
    for (int i = 0; i < 3; ++i)
        scene.engine.submit(test::question(1), {}, [&](Reply reply) { answers.push_back(reply.text); });
    scene.engine.run({});
    scene.engine.submit(test::question(1), {}, [&](Reply reply) {
        EXPECT_TRUE(reply.from_journal);
        answers.push_back(reply.text);
    });
    scene.engine.run({});
    EXPECT_EQ(answers, std::vector<std::string>(4, "yes"));
    EXPECT_EQ(scene.transport->started, 1);
    const auto f = scene.figures();
    EXPECT_EQ(f.asked, 4u);
    EXPECT_EQ(f.answered, 1u);
    EXPECT_EQ(f.from_journal, 3u) << "two that came while it was on its way, one after it was kept";
}

TEST(engine_loop, takes_from_the_feed_only_while_fewer_than_wanted_are_queued) {
    auto api = instant_api();
    api.queued_items = 20;
    ScriptedEngine scene([](const Call&) { return answered("yes"); }, api);
    int fed = 0, most_queued = 0;
    scene.engine.run([&] {
        if (fed == 500) return false;
        scene.engine.submit(test::question(fed++), {}, [](Reply) {});
        most_queued = std::max(most_queued, fed - scene.transport->started);
        return true;
    });
    EXPECT_EQ(scene.transport->started, 500);
    EXPECT_EQ(most_queued, 20);
}

TEST(engine_loop, stops_before_the_next_request_could_pass_the_budget) {
    auto endpoint = test::endpoint_at("http://nowhere/v1");
    endpoint.price_in = 0, endpoint.price_out = 1e6;  // a dollar a token
    endpoint.max_tokens = 4;
    auto api = instant_api();
    api.budget_usd = 21;
    ScriptedEngine scene([](const Call& call) { return answered("yes", 10, 1 + call.request.item.size() % 4); }, api,
                         endpoint);
    const auto outcome = test::ask(scene.engine, 200);
    EXPECT_EQ(outcome.end, RunEnd::budget);
    EXPECT_EQ(outcome.count(Status::answered) + outcome.count(Status::stopped), 200u);
    EXPECT_LE(scene.engine.figures().usd, 21);
    EXPECT_GT(scene.engine.figures().usd, 21 - 4) << "only what the next might have cost is left";
    expect_that_counts_add_up(scene.figures());
}

TEST(engine_loop, names_the_server_that_cannot_serve_and_goes_on_with_the_others) {
    const auto script = [](std::set<std::size_t> bad) {
        return [bad](const Call& call) {
            return bad.contains(call.server) ? came_to(Fate::stop_server, "unknown model", "never heard of it")
                                             : answered("yes");
        };
    };
    {
        ScriptedEngine scene(script({0}), instant_api(), test::endpoint_at("http://nowhere/v1"), {"left", "right"});
        EXPECT_EQ(test::ask(scene.engine, 20).count(Status::answered), 20u);
    }
    ScriptedEngine scene(script({0, 1}), instant_api(), test::endpoint_at("http://nowhere/v1"), {"left", "right"});
    test::Asked outcome;
    try {
        test::ask_into(scene.engine, outcome, 20);
        FAIL() << "no server is left";
    } catch (const EndpointError& e) {
        EXPECT_THAT(e.what(),
                    testing::MatchesRegex(".*endpoint a at (left|right): unknown model \\(never heard of it\\).*"));
    }
    EXPECT_EQ(outcome.count(Status::stopped), outcome.replies.size());
    expect_that_counts_add_up(scene.figures());
}

TEST(engine_loop, takes_what_comes_in_while_it_drains_and_leaves_the_rest) {
    auto endpoint = test::endpoint_at("http://nowhere/v1");
    endpoint.concurrency = 4;
    ScriptedEngine scene(
        [](const Call& call) {
            return call.request.item == "item 0" ? came_to(Fate::stop_endpoint, "wrong key") : answered("yes");
        },
        instant_api(), endpoint);
    test::Asked outcome;
    EXPECT_THROW(test::ask_into(scene.engine, outcome, 20), EndpointError);
    EXPECT_EQ(outcome.replies.at(0).status, Status::stopped) << "the next run asks it, with the right key";
    EXPECT_EQ(outcome.count(Status::answered), 3u) << "what was in flight with it";
    EXPECT_EQ(scene.transport->started, 4);
    expect_that_counts_add_up(scene.figures());
}

TEST(engine_loop, drops_what_does_not_come_in_within_the_grace_time) {
    auto api = instant_api();
    api.drain_s = 0.02;
    ScriptedEngine scene([](const Call&) { return answered("yes"); }, api);
    scene.transport->silent = true;
    test::Asked outcome;
    int fed = 0;
    EXPECT_THROW(scene.engine.run([&] {
        if (fed == 10 && scene.transport->started < 10) return true;
        if (fed == 10) throw InputError("the feed fails");
        scene.engine.submit(test::question(fed), {}, [&, n = fed](Reply reply) { outcome.replies[n] = reply; });
        ++fed;
        return true;
    }),
                 InputError);
    EXPECT_EQ(outcome.count(Status::stopped), 10u);
    EXPECT_EQ(scene.transport->in_flight(), 0u);
    expect_that_counts_add_up(scene.figures());
}

// Scripts drawn at random: every kind of outcome, the same questions again and again, a budget now and then.
TEST(engine_loop, tells_everybody_once_and_its_counts_add_up_whatever_the_script) {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        RandomStream random(seed);
        auto api = instant_api();
        api.attempts = 3, api.ask_again = 1, api.max_failure_share = 1;
        auto endpoint = test::endpoint_at("http://nowhere/v1");
        endpoint.max_tokens = 20;
        if (seed % 3 == 0) api.budget_usd = 20 * 40e-6;
        ScriptedEngine scene(
            [&](const Call&) {
                const double drawn = random.unit();
                if (drawn < 0.6) return answered("yes");
                if (drawn < 0.75) return came_to(Fate::give_up);
                if (drawn < 0.85) return came_to(Fate::retry);
                if (drawn < 0.99) return came_to(Fate::ask_again);
                auto busy = came_to(Fate::wait, "overload");
                busy.overloaded = true, busy.wait_s = 0.001;
                return busy;
            },
            api, endpoint);
        std::vector<int> told(200);
        std::size_t fed = 0;
        const auto end = scene.engine.run([&] {
            if (fed == told.size()) return false;
            scene.engine.submit(test::question(static_cast<int>(random.below(80))), {},
                                [&, fed](Reply) { ++told[fed]; });
            ++fed;
            return true;
        });
        EXPECT_EQ(std::count(told.begin(), told.end(), 1), static_cast<std::ptrdiff_t>(fed)) << "seed " << seed;
        const auto f = scene.figures();
        EXPECT_EQ(f.asked, fed);
        expect_that_counts_add_up(f);
        if (end == RunEnd::finished) {
            EXPECT_EQ(f.stopped, 0u);
        }
        if (api.budget_usd > 0) {
            EXPECT_LE(scene.engine.figures().usd, api.budget_usd);
        }
    }
}

}  // namespace tg::llm
