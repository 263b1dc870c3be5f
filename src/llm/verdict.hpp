// What an HTTP outcome means for the request and for its endpoint: answered, wait, try again, give up, or stop asking
// this server. Pure functions over what came back; the table of classes is that of the design's failure classes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "transfers.hpp"

namespace tg::llm {

enum class Fate {
    answered,       // a whole answer with text
    wait,           // refused by a limit: goes again when the server says, burns no attempt
    retry,          // time-out, reset, server error, cut body: bounded attempts with back-off
    ask_again,      // paid, but cannot be used: bounded askings
    give_up,        // this request will never be answered: ledger
    stop_url,       // this server cannot serve: no such host, certificate, unknown model or path
    stop_endpoint,  // key or quota: no replica will answer
};

struct Verdict {
    Fate fate = Fate::retry;
    std::string_view kind;  // class for figures and failure lines: "rate limit", "time-out", ...
    std::string detail;     // the server's or libcurl's words, cut
    std::string fix;        // for the stop fates: what to do
    std::string text;       // the assistant's answer
    bool cut_off = false;   // finish_reason "length": usable only if the check accepts it
    std::int64_t tokens_in = -1, tokens_out = -1, tokens_cached = 0;  // as the server counted; -1: not said
    std::optional<double> wait_s{};                                   // Retry-After
    bool about_tokens = false;                                        // the limit that refused counts tokens
    bool server_alive = true;                                         // the server spoke: for the outage alarm
};

// `wall_now`: seconds since 1970, for dates in Retry-After.
Verdict judge(const HttpOutcome& outcome, double wall_now);

// Limits as stated by x-ratelimit-* headers, per second; 0: not stated.
struct StatedLimits {
    double requests = 0, tokens = 0;
};
StatedLimits stated_limits(const HttpOutcome& outcome);

// "12ms", "1s", "6m0s", "1h2m3.5s", "20" (seconds).
std::optional<double> duration_s(std::string_view text);
// Seconds from `wall_now`: a number, or an HTTP date.
std::optional<double> retry_after_s(std::string_view text, double wall_now);

}  // namespace tg::llm
