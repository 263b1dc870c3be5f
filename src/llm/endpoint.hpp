// One endpoint as this rank uses it: its replicas, what it allows, how it does, and when it must be given up. Knows
// no transport: it is told what came (Outcome), and time is an argument.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "outcome.hpp"
#include "pacing.hpp"
#include "taskgalaxy/llm/figures.hpp"
#include "taskgalaxy/llm/tokens.hpp"

namespace tg::llm {

class Endpoint {
public:
    // `servers` as the transport names them. `settings` and `api` must outlive this.
    Endpoint(std::string name, const EndpointSettings& settings, const ApiSettings& api,
             const std::vector<std::string>& servers, int rank, int ranks, double now);

    const std::string& name() const { return name_; }
    const EndpointSettings& settings() const { return settings_; }

    // When the next request may be sent: now or earlier (at once), later, or never (infinity) before something in
    // flight comes back. Work is waiting, or nobody would ask: the learned rates take it as a wish for more.
    double ready_at(double now);
    // Requests worth having ready to be sent.
    std::size_t worth_preparing() const;

    struct Sending {
        std::size_t replica;
        double at;
        double tokens;  // reserved
    };
    Sending begin(double now, TokenEstimate estimate);
    // Every sending ends here, with what came back.
    void end(const Sending& sending, const Outcome& outcome, TokenEstimate estimate, double now);
    void cancelled(const Sending& sending);

    // One line, once this endpoint must be given up.
    const std::optional<std::string>& stop_line() const { return stop_line_; }
    // A request came to its end, with `failure` if badly: for max_failure_share.
    void ended(const std::string& failure);

    EndpointState state(double now) const;
    int in_flight() const { return in_flight_; }
    // So many failures in a row that the server is at fault: they burn no attempt of the requests that met them.
    bool down() const { return failures_since_good_ >= 8; }
    // Answer tokens to expect where max_tokens allows `most`.
    std::int64_t expected_out(std::int64_t most) const;
    // The most that a request may be charged for, as far as the server's count of prompts is known.
    TokenEstimate most(TokenEstimate estimate) const;

private:
    struct Replica {
        std::string server;  // as people know it
        int in_flight = 0;
        int failures = 0;                         // in a row
        bool answered = false;                    // ever
        double aside_since = 0, aside_until = 0;  // set aside, tried again then
        double told_at = -1e9;
        std::optional<std::string> fatal{};
    };
    void learn(const Outcome& outcome, const Sending& sending, double now);
    void judge_replica(Replica& replica, const Outcome& outcome, double sent_at, double now);
    void check_outage(const Outcome& outcome, double now);
    void apply_rates(double now);
    void tell_limit(double now);
    double counted(TokenEstimate tokens) const;

    std::string name_;
    const EndpointSettings& settings_;
    const ApiSettings& api_;
    int ranks_;
    std::vector<Replica> replicas_;
    Allowance requests_, tokens_{0, 1, token_credit_s};
    LearnedRate request_rate_, token_rate_;
    Concurrency concurrency_;
    RecentRate answers_, answered_tokens_, sent_, sent_tokens_;
    int in_flight_ = 0;
    bool waited_for_place_ = false;
    double in_ratio_ = 1;   // prompt tokens as counted by the server / by us
    double mean_out_ = -1;  // answer tokens
    bool answered_ever_ = false;
    double failing_since_ = -1;  // -1: the last thing that came was good
    int failures_since_good_ = 0;
    std::uint64_t ended_well_ = 0, ended_badly_ = 0;
    double told_at_ = -1e9, told_rate_ = 0;
    std::string last_failure_;
    std::optional<std::string> stop_line_;
};

}  // namespace tg::llm
