#include "pacing.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <queue>
#include <vector>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/simulator/limits.hpp"

namespace tg::llm {
namespace {

// A server that keeps a limit second by second, and one or more senders that always have work: hours pass in
// milliseconds.
struct Scene {
    double true_per_minute, told_per_minute, seconds, warm_up_s;
    int senders = 1;
    double refused_at_random = 0;
    double stalls = 0;  // share of the wake-ups that are up to 50 ms late, as on a busy node
    double (*tokens)(RandomStream&) =
        nullptr;  // of a request, known once it is answered; none: the limit counts requests
};

struct Rehearsal {
    double sent = 0, refused = 0, used = 0;  // used: requests or tokens admitted
};

constexpr double start = 1'780'000'000.3;

Rehearsal rehearse(const Scene& scene) {
    constexpr double lateness_s = 0.001, latency_s = 0.5;
    struct Sender {
        Allowance allowance;
        LearnedRate rate;
        RecentRate sending;
        double next = start;
        double mean = 1;  // of the tokens of late, as an endpoint keeps it
    };
    struct Reply {
        double at;
        int sender;
        double sent, counted, amount;
        bool refused;
        bool operator<(const Reply& other) const { return at > other.at; }
    };
    std::vector<Sender> all;
    for (int i = 0; i < scene.senders; ++i) {
        all.push_back({Allowance(i, scene.senders, scene.tokens ? token_credit_s : request_credit_s),
                       LearnedRate(scene.told_per_minute / 60 / scene.senders, true),
                       {}});
        all.back().allowance.set_rate(all.back().rate.rate(), start);
    }
    simulator::SecondLimit limit(scene.true_per_minute);
    std::priority_queue<Reply> replies;
    Rehearsal result;
    RandomStream random(5);
    for (double now = start; now < start + scene.seconds;) {
        int first = 0;
        for (int i = 1; i < scene.senders; ++i)
            if (all[static_cast<std::size_t>(i)].next < all[static_cast<std::size_t>(first)].next) first = i;
        if (!replies.empty() && replies.top().at <= all[static_cast<std::size_t>(first)].next) {
            const auto reply = replies.top();
            replies.pop();
            now = reply.at;
            auto& s = all[static_cast<std::size_t>(reply.sender)];
            if (reply.refused)
                s.allowance.hold_until(now + s.rate.refused(reply.sent, now, s.sending.per_second(now, 2)));
            if (scene.tokens) s.allowance.correct((reply.refused ? 0 : reply.amount) - reply.counted);
            if (!reply.refused) s.mean += 0.05 * (reply.amount - s.mean);
            s.allowance.set_rate(s.rate.rate(), now);
            continue;
        }
        auto& s = all[static_cast<std::size_t>(first)];
        now = s.next;
        if (const double at = s.allowance.ready_at(now); at > now) {
            s.rate.binding(now);
            s.allowance.set_rate(s.rate.rate(), now);
            s.next = at + (random.unit() < scene.stalls ? 0.05 : lateness_s) *
                              random.unit();  // a timer is never early, and mostly a little late
            continue;
        }
        const double amount = scene.tokens ? scene.tokens(random) : 1, counted_as = std::ceil(s.mean);
        s.allowance.spend(now, counted_as);
        s.sending.add(now);
        s.rate.sent(now);
        const bool counted = now > start + scene.warm_up_s;
        result.sent += counted;
        const bool open = limit.open(now) && random.unit() >= scene.refused_at_random;
        if (open) limit.take(amount);
        if (counted) open ? result.used += amount : result.refused += 1;
        replies.push({now + (open ? latency_s : 0.002), first, now, counted_as, amount, !open});
        s.next = now + 1e-5;
    }
    return result;
}

}  // namespace

TEST(pacing, uses_a_stated_limit_to_99_percent_and_is_never_refused) {
    for (const double per_minute : {3000.0, 600.0, 500.0, 30.0, 60000.0}) {
        const auto r =
            rehearse({.true_per_minute = per_minute, .told_per_minute = per_minute, .seconds = 600, .warm_up_s = 5});
        EXPECT_EQ(r.refused, 0) << per_minute;
        EXPECT_GE(r.used, 0.99 * per_minute / 60 * 595 - 1) << per_minute;
    }
}

TEST(pacing, is_never_refused_though_the_process_is_woken_late) {
    const auto r =
        rehearse({.true_per_minute = 3000, .told_per_minute = 3000, .seconds = 6000, .warm_up_s = 5, .stalls = 0.01});
    EXPECT_EQ(r.refused, 0);
    EXPECT_GE(r.used, 0.99 * 50 * 5995);
}

TEST(pacing, is_refused_by_no_second_though_three_senders_share_the_limit) {
    const auto r = rehearse({.true_per_minute = 3000,
                             .told_per_minute = 3000,
                             .seconds = 6000,
                             .warm_up_s = 5,
                             .senders = 3,
                             .stalls = 0.001});
    EXPECT_EQ(r.refused, 0);
    EXPECT_GE(r.used, 0.99 * 50 * 5995);
}

TEST(pacing, uses_a_limit_of_tokens_and_is_not_refused_where_answers_are_alike) {
    const auto r = rehearse({.true_per_minute = 60'000,
                             .told_per_minute = 60'000,
                             .seconds = 6000,
                             .warm_up_s = 20,
                             .stalls = 0.002,
                             .tokens = [](RandomStream&) { return 18.0; }});
    EXPECT_EQ(r.refused, 0);
    EXPECT_GE(r.used, 0.99 * 1000 * 5980);
}

// How many tokens a second took is known half a second late, and a second's 60 answers of 20 to 300 tokens differ by 6
// %: what they fall short of the limit is lost, what they exceed it is refused in the next.
TEST(pacing, uses_most_of_a_limit_of_tokens_where_answers_differ) {
    const auto r = rehearse({.true_per_minute = 600'000,
                             .told_per_minute = 600'000,
                             .seconds = 6000,
                             .warm_up_s = 20,
                             .stalls = 0.002,
                             .tokens = [](RandomStream& lengths) { return 20 + 280 * lengths.unit(); }});
    EXPECT_LT(r.refused, 0.01 * r.sent);
    EXPECT_GE(r.used, 0.85 * 10'000 * 5980);
}

TEST(pacing, finds_a_limit_that_was_told_twice_too_high) {
    const auto r = rehearse({.true_per_minute = 3000, .told_per_minute = 6000, .seconds = 180, .warm_up_s = 10});
    EXPECT_GE(r.used, 0.95 * 50 * 170);
    EXPECT_LT(r.refused, 0.03 * r.sent);
}

TEST(pacing, finds_a_limit_that_nobody_told) {
    const auto r = rehearse({.true_per_minute = 3000, .told_per_minute = 0, .seconds = 180, .warm_up_s = 20});
    EXPECT_GE(r.used, 0.95 * 50 * 160);
    EXPECT_LT(r.refused, 0.03 * r.sent);
}

TEST(pacing, finds_its_share_with_three_senders_and_nothing_told) {
    const auto r =
        rehearse({.true_per_minute = 3000, .told_per_minute = 0, .seconds = 180, .warm_up_s = 30, .senders = 3});
    EXPECT_GE(r.used, 0.95 * 50 * 150);
    EXPECT_LT(r.refused, 0.03 * r.sent);
}

TEST(pacing, does_not_slow_down_for_refusals_that_have_nothing_to_do_with_its_rate) {
    const auto r = rehearse({.true_per_minute = 60'000,
                             .told_per_minute = 3000,
                             .seconds = 180,
                             .warm_up_s = 20,
                             .refused_at_random = 0.05});
    EXPECT_GE(r.sent, 0.9 * 50 * 160);
}

TEST(allowance, begins_without_credit_and_never_bursts) {
    Allowance a;
    a.set_rate(50, start);
    int sent = 0;
    for (double now = start; now < start + 0.5; now += 0.001)
        if (a.ready_at(now) <= now) a.spend(now, 1), ++sent;
    EXPECT_LE(sent, 25);
    // Idle for an hour, then much to do: still no more than a second's share within a second.
    const double later = start + 3600;
    sent = 0;
    for (double now = later; now < later + 1; now += 0.001)
        if (a.ready_at(now) <= now) a.spend(now, 1), ++sent;
    EXPECT_LE(sent, 50);
    EXPECT_GE(sent, 49);
}

TEST(allowance, counts_tokens_of_any_size_and_corrects_them) {
    Allowance a;
    a.set_rate(1000, start);  // tokens a second
    double spent = 0, now = start;
    while (now < start + 60) {
        const double at = a.ready_at(now);
        if (at > now) {
            now = at + 1e-4;
            continue;
        }
        a.spend(now, 700);
        a.correct(-100);
        spent += 600;
    }
    EXPECT_NEAR(spent, 60'000, 1500);
}

TEST(allowance, is_silent_while_held) {
    Allowance a;
    a.hold_until(start + 5);
    EXPECT_EQ(a.ready_at(start), start + 5);
    a.set_rate(10, start);
    EXPECT_GE(a.ready_at(start), start + 5);
}

TEST(concurrency, grows_while_that_brings_more_and_stays_where_it_does_not) {
    // A server that works at 40 requests at once and queues the rest: latency 0.5 s up to there, longer beyond.
    Concurrency c(0, 1024);
    double now = start, best = 0;
    std::deque<double> busy;
    for (int i = 0; i < 40'000; ++i) {
        const double latency = 0.5 * std::max(1.0, c.limit() / 40.0);
        now += latency / c.limit();
        c.answered(now, latency, true);
        if (i > 20'000) best = std::max(best, static_cast<double>(c.limit()));
    }
    EXPECT_GE(c.limit(), 32);
    EXPECT_LE(best, 100);
    const int before = c.limit();
    c.trouble(now);
    EXPECT_LT(c.limit(), before);
}

TEST(concurrency, keeps_what_was_stated) {
    Concurrency c(16, 1024);
    for (int i = 0; i < 1000; ++i) c.answered(start + i, 1, true);
    c.trouble(start + 2000);
    EXPECT_EQ(c.limit(), 16);
}

TEST(backoff, is_drawn_below_a_bound_that_doubles) {
    EXPECT_DOUBLE_EQ(backoff_s(0.5, 60, 1, 1.0), 0.5);
    EXPECT_DOUBLE_EQ(backoff_s(0.5, 60, 3, 0.5), 1.0);
    EXPECT_DOUBLE_EQ(backoff_s(0.5, 60, 99, 1.0), 60);
    EXPECT_DOUBLE_EQ(backoff_s(0.5, 60, 9, 0.0), 0);
}

TEST(second_limit, grants_a_sixtieth_a_second_and_carries_fractions_and_debts) {
    simulator::SecondLimit limit(500);
    int admitted = 0;
    for (double now = 1000; now < 1060; now += 0.01)
        if (limit.open(now)) limit.take(1), ++admitted;
    EXPECT_NEAR(admitted, 500, 1);
    simulator::SecondLimit tokens(6000);
    double spent = 0;
    for (double now = 1000; now < 1060; now += 0.01)
        if (tokens.open(now)) tokens.take(250), spent += 250;
    EXPECT_NEAR(spent, 6000, 250);
}

}  // namespace tg::llm
