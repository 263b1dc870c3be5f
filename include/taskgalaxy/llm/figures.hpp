// What an engine counted so far: for progress lines, cost files and the report. Plain values, copied from the engine at
// any time. For each endpoint and stage, and once all is done, asked = answered + from_journal + failed + stopped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace tg::llm {

// What happened to the requests of one endpoint and stage. Counts include what earlier runs left in the journal only
// where said.
struct EndpointFigures {
    std::uint64_t asked = 0;         // requests given to the engine
    std::uint64_t answered = 0;      // ... answered, by the server in this run
    std::uint64_t from_journal = 0;  // ... answered (or failed, retry_failed off) from the journal
    std::uint64_t failed = 0;        // ... given up
    std::uint64_t stopped = 0;       // ... left for the next run
    std::map<std::string, std::uint64_t> failed_by_class;  // "bad request" -> 3
    std::uint64_t sent = 0;                                // HTTP requests, retries included
    std::uint64_t retries = 0;                             // after time-outs, resets and server errors
    std::uint64_t asked_again = 0;                         // after answers that could not be used
    std::uint64_t rate_limited = 0;                        // answers 429 (and 503 with Retry-After)
    std::int64_t tokens_in = 0, tokens_out = 0;            // this run, as the server counted; unusable answers included
    std::int64_t tokens_in_before = 0, tokens_out_before = 0;  // earlier runs, from the journal
    double usd = 0, usd_before = 0;
    bool price_known = false;  // false: usd is not the whole cost, show "unknown"
};

// The state of one endpoint, over all stages.
struct EndpointState {
    double requests_per_s = 0;  // answers over the last seconds
    double tokens_per_s = 0;
    double limit_requests_per_minute = 0;  // this rank's share of what is stated or learned; 0: none known
    double limit_tokens_per_minute = 0;
    int in_flight = 0, concurrency = 0;
    bool limit_learned = false;  // from headers or refusals, not from the job file
    std::string last_failure;
};

struct EngineFigures {
    std::map<std::pair<std::string, std::string>, EndpointFigures> by_endpoint_and_stage;
    std::map<std::string, EndpointState> endpoints;
    double usd = 0;           // this run and earlier ones (all ranks' earlier ones, this rank's of this run)
    bool price_known = true;  // of every endpoint that was used
    std::uint64_t queued = 0;
};

}  // namespace tg::llm
