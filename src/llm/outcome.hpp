// What came of sending a request once, in the engine's terms: take the answer, wait, try again, give up, or stop asking
// this server. Plain values that a transport fills in, whatever it talks to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tg::llm {

enum class Fate {
    answered,       // a whole answer with text
    wait,           // refused by a limit: goes again when the server says, burns no attempt
    retry,          // time-out, reset, server error, cut body: bounded attempts with back-off
    ask_again,      // paid, but cannot be used: bounded askings
    give_up,        // this request will never be answered: it goes into the journal as failed
    stop_server,    // this server cannot serve: no such host, certificate, unknown model or path
    stop_endpoint,  // key or quota: no server of the endpoint will answer
};

// Limits as a server states them, per second and over all that use its key; 0: not stated.
struct StatedLimits {
    double requests = 0, tokens = 0;
};

inline constexpr std::size_t longest_detail = 300;  // bytes of Outcome::detail

struct Outcome {
    Fate fate = Fate::retry;
    std::string_view kind;      // class for figures and failure lines: "rate limit", "time-out", ...; a literal
    std::string detail;         // the server's or the transport's words, cut
    std::string fix;            // for the stop fates: what to do
    std::string text;           // the assistant's answer
    bool cut_off = false;       // the answer reached max_tokens: usable only if the check accepts it
    bool paid = false;          // it is charged for, whether it can be used or not
    bool unreached = false;     // nobody was there to take the request: no fault of the request
    bool overloaded = false;    // `wait` because the server is busy, not because a limit was passed
    bool about_tokens = false;  // the limit that refused counts tokens
    std::int64_t tokens_in = -1, tokens_out = -1, tokens_cached = 0;  // as the server counted; -1: not said
    std::optional<double> wait_s{};                                   // how long the server asks to wait
    std::optional<StatedLimits> limits{};                             // none: the server said nothing of limits
    double seconds = 0;                                               // from sending to the last byte
    // For the journal and for people who ask the vendor; the engine does not look at them.
    long code = 0;           // the server's number of what went wrong
    std::string request_id;  // the server's name of the exchange
};

}  // namespace tg::llm
