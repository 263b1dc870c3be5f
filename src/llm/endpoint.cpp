#include "endpoint.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

constexpr int most_in_flight = 1024;   // where nobody states a concurrency
constexpr int failures_set_aside = 5;  // in a row: the replica is in trouble, not the request
constexpr int failures_of_an_outage = 3;
constexpr double longest_aside_s = 30;
constexpr std::int64_t first_guess_out = 256;

}  // namespace

Endpoint::Endpoint(std::string name, const EndpointSettings& settings, const ApiSettings& api,
                   const std::vector<std::string>& servers, int rank, int ranks, double now)
    : name_(std::move(name)),
      settings_(settings),
      api_(api),
      ranks_(ranks),
      requests_(rank, ranks),
      request_rate_(settings.requests_per_minute / 60 / ranks, settings.concurrency == 0),
      token_rate_(settings.tokens_per_minute / 60 / ranks, false),
      concurrency_(settings.concurrency > 0 ? std::max(1, (settings.concurrency + ranks - 1 - rank) / ranks) : 0,
                   std::max(8, most_in_flight / ranks)) {
    for (const auto& server : servers) replicas_.push_back({server});
    apply_rates(now);
}

double Endpoint::ready_at(double now) {
    if (in_flight_ >= concurrency_.limit()) {
        waited_for_place_ = true;
        return never;
    }
    double replica_at = never;
    for (const auto& r : replicas_) {
        if (r.fatal) continue;
        // One that failed is tried again by one request alone.
        const bool probing = r.failures >= failures_set_aside && r.in_flight > 0;
        if (!probing) replica_at = std::min(replica_at, r.aside_until);
    }
    const double requests_at = requests_.ready_at(now), tokens_at = tokens_.ready_at(now);
    if (requests_at > now) request_rate_.binding(now);
    if (tokens_at > now) token_rate_.binding(now);
    if (requests_at > now || tokens_at > now) apply_rates(now);
    return std::max({replica_at, requests_at, tokens_at});
}

std::size_t Endpoint::worth_preparing() const {
    const double per_s = request_rate_.rate();
    const auto by_rate =
        per_s > 0 ? static_cast<std::size_t>(std::ceil(per_s)) : std::numeric_limits<std::size_t>::max();
    return 2 + std::min<std::size_t>(by_rate, static_cast<std::size_t>(concurrency_.limit()));
}

std::int64_t Endpoint::expected_out(std::int64_t most) const {
    return std::min(most, mean_out_ < 0 ? first_guess_out : static_cast<std::int64_t>(std::ceil(mean_out_)));
}

TokenEstimate Endpoint::most(TokenEstimate estimate) const {
    return {static_cast<std::int64_t>(std::ceil(static_cast<double>(estimate.in) * std::max(in_ratio_, 1.0))),
            estimate.out};
}

double Endpoint::counted(TokenEstimate tokens) const {
    const auto out = settings_.tokens_counted == TokensCounted::reserved ? tokens.out : expected_out(tokens.out);
    return static_cast<double>(tokens.in) * in_ratio_ + static_cast<double>(out);
}

Endpoint::Sending Endpoint::begin(double now, TokenEstimate estimate) {
    std::size_t best = replicas_.size();
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
        const auto& r = replicas_[i];
        if (r.fatal || r.aside_until > now || (r.failures >= failures_set_aside && r.in_flight > 0)) continue;
        if (best == replicas_.size() || r.in_flight < replicas_[best].in_flight) best = i;
    }
    const Sending sending{best, now, counted(estimate)};
    requests_.spend(now, 1);
    tokens_.spend(now, sending.tokens);
    sent_.add(now);
    request_rate_.sent(now);
    token_rate_.sent(now);
    sent_tokens_.add(now, sending.tokens);
    ++replicas_.at(best).in_flight;
    ++in_flight_;
    return sending;
}

void Endpoint::cancelled(const Sending& sending) {
    --replicas_[sending.replica].in_flight;
    --in_flight_;
}

void Endpoint::end(const Sending& sending, const Outcome& outcome, TokenEstimate estimate, double now) {
    cancelled(sending);
    judge_replica(replicas_[sending.replica], outcome, sending.at, now);
    learn(outcome, sending, now);
    const bool answered =
        outcome.fate == Fate::answered || outcome.fate == Fate::ask_again || outcome.fate == Fate::give_up;
    if (answered) {
        concurrency_.answered(now, outcome.seconds, waited_for_place_);
        waited_for_place_ = false;
        answers_.add(now);
    }
    if (outcome.tokens_in >= 0 && outcome.tokens_out >= 0) {
        const auto used = static_cast<double>(outcome.tokens_in + outcome.tokens_out);
        answered_tokens_.add(now, used);
        if (settings_.tokens_counted == TokensCounted::used) tokens_.correct(used - sending.tokens);
        // Means that follow the last few dozen answers.
        const double weight = mean_out_ < 0 ? 1 : 0.05;
        mean_out_ = (1 - weight) * std::max(mean_out_, 0.0) + weight * static_cast<double>(outcome.tokens_out);
        if (estimate.in > 0)
            in_ratio_ = std::clamp((1 - weight) * in_ratio_ + weight * static_cast<double>(outcome.tokens_in) /
                                                                  static_cast<double>(estimate.in),
                                   0.1, 10.0);
    } else if (outcome.fate == Fate::wait) {
        tokens_.correct(-sending.tokens);  // what was refused is not counted
    }
    check_outage(outcome, now);
}

void Endpoint::learn(const Outcome& outcome, const Sending& sending, double now) {
    if (outcome.limits) {
        request_rate_.server_states(outcome.limits->requests / ranks_);
        token_rate_.server_states(outcome.limits->tokens / ranks_);
    }
    if (outcome.fate == Fate::wait && !outcome.overloaded) {
        auto& rate = outcome.about_tokens ? token_rate_ : request_rate_;
        auto& sent = outcome.about_tokens ? sent_tokens_ : sent_;
        auto& allowance = outcome.about_tokens ? tokens_ : requests_;
        allowance.hold_until(now + rate.refused(sending.at, now, sent.per_second(now, 2)));
        // A second or less concerns that request; a longer wait means that nothing will pass.
        if (outcome.wait_s && *outcome.wait_s > 1) allowance.hold_until(now + *outcome.wait_s);
    }
    apply_rates(now);
    if (request_rate_.learned()) tell_limit(now);
}

void Endpoint::apply_rates(double now) {
    requests_.set_rate(request_rate_.rate(), now);
    tokens_.set_rate(token_rate_.rate(), now);
}

void Endpoint::tell_limit(double now) {
    const double rate = request_rate_.rate();
    if (now - told_at_ < 30 || std::abs(rate - told_rate_) < 0.2 * told_rate_) return;
    told_at_ = now, told_rate_ = rate;
    log::info("endpoint {}: found a limit of about {:.0f} requests a minute for this rank", name_, rate * 60);
}

void Endpoint::judge_replica(Replica& replica, const Outcome& outcome, double sent_at, double now) {
    const auto line = [&] {
        return fmt::format("endpoint {} at {}: {} ({})", name_, replica.server, outcome.kind, outcome.detail) +
               (outcome.fix.empty() ? "" : "; " + outcome.fix);
    };
    switch (outcome.fate) {
        case Fate::answered:
        case Fate::ask_again:
        case Fate::give_up:
            replica.failures = 0;
            replica.answered = true;
            return;
        case Fate::stop_endpoint: stop_line_ = line(); return;
        case Fate::stop_server: {
            if (outcome.unreached && replica.answered) break;  // the name service hiccups
            replica.fatal = line();
            const bool all =
                std::all_of(replicas_.begin(), replicas_.end(), [](const Replica& r) { return r.fatal.has_value(); });
            if (all) stop_line_ = replica.fatal;
            else log::error("{}; the other {} replicas go on without it", *replica.fatal, replicas_.size() - 1);
            return;
        }
        case Fate::wait:
            if (outcome.overloaded) {
                concurrency_.trouble(now);
                replica.aside_until = std::max(replica.aside_until, now + outcome.wait_s.value_or(0));
            }
            return;
        case Fate::retry: break;
    }
    concurrency_.trouble(now);
    if (sent_at < replica.aside_since) return;  // sent before it was set aside: nothing new
    ++replica.failures;
    if (outcome.unreached) replica.failures = std::max(replica.failures, failures_set_aside);
    if (replica.failures < failures_set_aside) return;
    const double aside = std::min(longest_aside_s, std::exp2(std::min(replica.failures - failures_set_aside, 10)));
    replica.aside_since = now;
    replica.aside_until = now + aside;
    if (now - replica.told_at < 60) return;
    replica.told_at = now;
    log::warn("endpoint {}: {} is set aside for {} ({}: {})", name_, replica.server, duration_text(aside), outcome.kind,
              outcome.detail);
}

void Endpoint::check_outage(const Outcome& outcome, double now) {
    const bool good =
        outcome.fate == Fate::answered || outcome.fate == Fate::ask_again || outcome.fate == Fate::give_up;
    if (good) {
        answered_ever_ = true;
        failing_since_ = -1;
        failures_since_good_ = 0;
        return;
    }
    last_failure_ = fmt::format("{}: {}", outcome.kind, outcome.detail);
    if (failing_since_ < 0) failing_since_ = now;
    ++failures_since_good_;
    if (stop_line_) return;
    if (outcome.fate == Fate::wait && outcome.wait_s.value_or(0) > api_.outage_s) {
        stop_line_ = fmt::format(
            "endpoint {}: the server asks to wait {} ({}); a limit of the day is used up: give the same command again "
            "then",
            name_, duration_text(*outcome.wait_s), outcome.detail);
        return;
    }
    const double patience =
        answered_ever_ || outcome.fate == Fate::wait ? api_.outage_s : std::min(api_.first_answer_s, api_.outage_s);
    if (failures_since_good_ >= failures_of_an_outage && now - failing_since_ >= patience)
        stop_line_ = fmt::format(
            "endpoint {}: nothing but failures for {}, the last: {}; the same command goes on once it answers again",
            name_, duration_text(now - failing_since_), last_failure_);
}

void Endpoint::ended(const std::string& failure) {
    ++(failure.empty() ? ended_well_ : ended_badly_);
    if (!failure.empty()) last_failure_ = failure;
    const auto all = ended_well_ + ended_badly_;
    if (stop_line_ || all < static_cast<std::uint64_t>(api_.failure_share_after) ||
        static_cast<double>(ended_badly_) <= api_.max_failure_share * static_cast<double>(all))
        return;
    stop_line_ = fmt::format(
        "endpoint {}: {} of {} requests were given up, more than api.max_failure_share = {} (the last: {}); see the "
        "failures in the log, mend the cause, give the same command again",
        name_, ended_badly_, all, api_.max_failure_share, last_failure_);
}

EndpointState Endpoint::state(double now) const {
    EndpointState s;
    s.requests_per_s = answers_.per_second(now);
    s.tokens_per_s = answered_tokens_.per_second(now);
    s.limit_requests_per_minute = request_rate_.rate() * 60;
    s.limit_tokens_per_minute = token_rate_.rate() * 60;
    s.in_flight = in_flight_;
    s.concurrency = concurrency_.limit();
    s.limit_learned = request_rate_.learned() || token_rate_.learned();
    s.last_failure = last_failure_;
    return s;
}

}  // namespace tg::llm
