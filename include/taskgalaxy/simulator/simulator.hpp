// The stand-in server: OpenAI-compatible chat completions over HTTP, with limits, latency and faults that can be set.
// For the demo, the tests and a dress rehearsal before paying; `taskgalaxy simulate` runs it as a process of its own.
// What it does to a request depends only on (seed, content of the request, how often that content came), never on
// timing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::simulator {

// One request as the answer function sees it.
struct SimulatedCall {
    std::string model, system, user;
    std::vector<std::byte> image;    // decoded from its data URL; empty: none
    std::string response_schema;     // empty: none
    std::uint64_t seed = 0;          // of this content and attempt, for random choices of the answer
    int attempt = 0;                 // 0: the first time this content came
    std::int64_t sampling_seed = 0;  // the request's own `seed`
};
// The assistant's text. Called from many threads at once. Throwing InputError makes the server answer 400 with its
// message.
using AnswerFunction = std::function<std::string(const SimulatedCall&)>;

struct SimulatorSettings {
    std::string host = "127.0.0.1";
    int port = 0;                     // 0: any free one, see port_file
    std::filesystem::path port_file;  // written (by rename) once the server listens
    std::filesystem::path request_log;
    std::string key_env;              // if set, requests must carry the key that this variable holds, else 401
    std::vector<std::string> models;  // names served; empty: any
    int threads = 64;                 // connections served at once
    std::uint64_t seed_value() const { return static_cast<std::uint64_t>(seed); }
    std::int64_t seed = 1;
    // Limits, of each model, kept second by second; 0: none.
    double requests_per_minute = 0, tokens_per_minute = 0;
    bool limit_headers = true;
    llm::TokensCounted tokens_counted = llm::TokensCounted::used;
    double quota_tokens = 0;  // tokens after which 429 insufficient_quota is answered; 0: none
    // Latency: log-normal with this median and spread, longest cut at 20 medians.
    double latency_ms = 0, latency_sigma = 0;
    // Faults, shares of the requests in [0, 1].
    double rate_limited = 0;  // 429 though the limit is kept
    double error_500 = 0, error_503 = 0;
    double reset = 0;  // connection closed without an answer, after the work was done
    double stall = 0;  // nothing is answered for stall_s
    double stall_s = 600;
    double cut_body = 0;  // the connection closes amid the answer
    double broken_json = 0;
    double html = 0;            // 200 with text/html
    double refusal = 0;         // a polite "I cannot help with that"
    double chatter = 0;         // the answer wrapped in a code fence and talk
    double truncated = 0;       // finish_reason length
    double content_filter = 0;  // finish_reason content_filter
    double slow_drip = 0;       // the answer in small pieces over drip_s
    double drip_s = 5;

    void describe(SettingsVisitor& v);
    void check() const;
};

// Listens from construction to destruction, on its own threads.
class Simulator {
public:
    // Throws UsageError (settings), StorageError (log or port file), EndpointError (the port is taken).
    Simulator(const SimulatorSettings& settings, AnswerFunction answer);
    ~Simulator();
    int port() const;
    std::string url() const;  // "http://127.0.0.1:PORT/v1"

    struct Counts {
        std::uint64_t requests = 0, answered = 0, refused_by_limit = 0, faults = 0;
        std::int64_t tokens_in = 0, tokens_out = 0;
    };
    Counts counts() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// `taskgalaxy simulate`: serves until stop_requested(), telling where on the console.
void run_simulator(const SimulatorSettings& settings, AnswerFunction answer);

}  // namespace tg::simulator
