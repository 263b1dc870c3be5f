// When the next request may go: arithmetic on times, no clock and no socket, so that hours of pacing are tested in
// milliseconds. Times are seconds since 1970 on a steady clock; rates are per second and per rank (a job's limit
// divided by its API ranks).
#pragma once

#include <cstdint>
#include <deque>
#include <limits>

namespace tg::llm {

inline constexpr double never = std::numeric_limits<double>::infinity();

// Catching up with requests cannot exceed a second's share, as they are counted exactly. The tokens of a second's last
// request do exceed it, and servers let the next second pay: seconds must be even, so little is caught up.
inline constexpr double request_credit_s = 0.2, token_credit_s = 0.03;

// One quantity that a server counts (requests or tokens), spent at a rate. Virtual scheduling (GCRA, ITU-T I.371) with
// little credit keeps the pace smooth; besides, within any second no more than a second's share is spent, because
// servers often count by the second.
class Allowance {
public:
    // This is sender `index` of `senders` that share one limit: their sending times interleave on a grid of the wall
    // clock's time. A lone sender that was late by up to `credit_s` catches up; longer idleness is forgotten.
    explicit Allowance(int index = 0, int senders = 1, double credit_s = request_credit_s);

    // Per second; 0: unlimited.
    void set_rate(double rate, double now);
    double rate() const { return rate_; }
    // When the next spending may happen; `now` or earlier: at once.
    double ready_at(double now);
    void spend(double now, double amount);
    // The true amount is known only later: more was spent (or less, negative) than spend() was told.
    void correct(double more);
    // Nothing before that time (the server said when to come back).
    void hold_until(double time);

private:
    double interval() const { return 1.0 / rate_; }
    double on_grid(double time) const;
    void forget(double now);

    double rate_ = 0;
    double next_ = 0;  // theoretical time of the next spending
    double held_ = 0;
    int index_, senders_;
    double credit_s_;
    struct Spent {
        double time, amount;
    };
    std::deque<Spent> recent_;  // of the last second
    double recent_sum_ = 0;
};

// The rate to send at. Stated limits are kept as they are until the server refuses; unknown ones are found by doubling
// until it does. A few refusals are the price of being near the limit; more lower the rate a little, a burst of nothing
// but refusals lowers it much. Afterwards it climbs, slowly at first, as TCP does. Refusals that go on however far
// below a stated limit it goes are not its doing and do not lower it.
class LearnedRate {
public:
    // `stated` per second (0: not stated). `ramp`: with nothing stated begin slowly, else begin unlimited.
    LearnedRate(double stated, bool ramp);

    double rate() const;  // 0: unlimited
    // The server states its limit (a header): never above the job's own.
    void server_states(double rate);
    void sent(double now);
    // What was sent at `sent_at` was refused; `sending` is the recent rate of sending. Returns how long sending should
    // pause.
    double refused(double sent_at, double now, double sending);
    // Work was waiting for this rate.
    void binding(double now);
    bool learned() const { return learned_; }

private:
    double cap() const;
    void lower(double factor, double now);

    double stated_, server_ = 0;
    double rate_ = 0;  // 0: only the cap counts
    bool ramping_;
    bool learned_ = false, guessed_ = false;  // guessed: known from the first refusal alone
    double epoch_ = -1e9;  // of the last lowering; refusals of what was sent before it say nothing new
    double sent_lately_ = 0, refused_lately_ = 0, last_sent_ = 0;  // since then, fading with time
    double last_climb_ = -1;
    // A series of lowerings: share refused and rate before the first, and what came of it since. Do they help?
    int lowerings_ = 0;
    double share_before_ = 0, rate_before_ = 0, sent_since_ = 0, refused_since_ = 0, in_vain_until_ = -1e9;
};

// How many requests to keep in flight where nobody says: more as long as that brings more answers a second (hill
// climbing).
class Concurrency {
public:
    // `stated` 0: adaptive between 4 and `most`.
    Concurrency(int stated, int most);
    int limit() const { return limit_; }
    // An answer came after `seconds`; `waited`: work was waiting for a free place.
    void answered(double now, double seconds, bool waited);
    // Time-outs, resets, overload: fewer.
    void trouble(double now);

private:
    bool adaptive_;
    int limit_, most_, before_ = 0;
    double epoch_ = -1, rate_before_ = 0, hold_until_ = 0, last_trouble_ = -1e9, slowest_ = 0;
    int answers_ = 0, waited_ = 0;
    bool doubling_ = true, raised_ = false;
};

// Wait before retry number `failures` (1, 2, ...): "full jitter", uniform in [0, min(longest, first * 2^(failures-1))];
// `unit` in [0, 1).
double backoff_s(double first_s, double longest_s, int failures, double unit);

// Answers or tokens of the last seconds, for figures and for learning.
class RecentRate {
public:
    void add(double now, double amount = 1);
    double per_second(
        double now, int seconds = span) const;  // over the last `seconds` (at most `span`), or since the first if later

private:
    static constexpr int span = 10;
    std::int64_t second_[span + 1] = {};
    double amount_[span + 1] = {};
    double first_ = -1;
};

}  // namespace tg::llm
