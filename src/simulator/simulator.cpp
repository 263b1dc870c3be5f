#include "taskgalaxy/simulator/simulator.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "chat_request.hpp"
#include "server.hpp"
#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/llm/tokens.hpp"
#include "taskgalaxy/simulator/limits.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::simulator {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t tokens_a_picture = 765;  // four 512-pixel tiles
constexpr double longest_latency = 20;          // medians

double wall_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

enum class Fault {
    none,
    rate_limited,
    error_500,
    error_503,
    reset,
    stall,
    cut_body,
    broken_json,
    html,
    refusal,
    chatter,
    truncated,
    content_filter,
    slow_drip
};

struct FaultShare {
    Fault fault;
    std::string_view name;
    double SimulatorSettings::*share;
    std::string_view help;
};
constexpr std::array fault_shares{
    FaultShare{Fault::rate_limited, "rate_limited", &SimulatorSettings::rate_limited, "429 though the limit is kept"},
    FaultShare{Fault::error_500, "error_500", &SimulatorSettings::error_500, "500"},
    FaultShare{Fault::error_503, "error_503", &SimulatorSettings::error_503, "503"},
    FaultShare{Fault::reset, "reset", &SimulatorSettings::reset, "a reset of the connection after the work was done"},
    FaultShare{Fault::stall, "stall", &SimulatorSettings::stall, "no answer for stall_s"},
    FaultShare{Fault::cut_body, "cut_body", &SimulatorSettings::cut_body, "a close amid the answer"},
    FaultShare{Fault::broken_json, "broken_json", &SimulatorSettings::broken_json, "200 with broken JSON"},
    FaultShare{Fault::html, "html", &SimulatorSettings::html, "200 with a page of HTML"},
    FaultShare{Fault::refusal, "refusal", &SimulatorSettings::refusal, "a refusal instead of an answer"},
    FaultShare{Fault::chatter, "chatter", &SimulatorSettings::chatter, "the answer within a code fence and talk"},
    FaultShare{Fault::truncated, "truncated", &SimulatorSettings::truncated,
               "half of the answer, finish_reason length"},
    FaultShare{Fault::content_filter, "content_filter", &SimulatorSettings::content_filter,
               "finish_reason content_filter"},
    FaultShare{Fault::slow_drip, "slow_drip", &SimulatorSettings::slow_drip, "the answer in small pieces over drip_s"},
};

// Box-Muller on two uniform numbers of the counter-based generator.
double normal(std::uint64_t seed) {
    const double u = 1 - random_unit(seed, 101), v = random_unit(seed, 102);
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v);
}

std::string error_body(std::string_view message, std::string_view type, std::string_view code) {
    return Json{{"error", {{"message", message}, {"type", type}, {"code", code}}}}.dump();
}

}  // namespace

void SimulatorSettings::describe(SettingsVisitor& v) {
    v.option("host", &host, "address to listen at");
    v.option("port", &port, "port (0: any free one; see port_file)", between(0, 65535));
    v.option("port_file", &port_file, "file to write the port to once the server listens");
    v.option("request_log", &request_log, "file that gets one line of JSON a request");
    v.option("key_env", &key_env, "environment variable with the key that requests must carry (empty: none needed)");
    v.option("models", &models, "names of models served (empty: any)");
    v.option("threads", &threads, "connections served at once", at_least(1));
    v.option("seed", &seed, "seed of latencies and faults");
    v.option("requests_per_minute", &requests_per_minute, "limit of each model, kept second by second (0: none)",
             at_least(0));
    v.option("tokens_per_minute", &tokens_per_minute, "limit of each model, kept second by second (0: none)",
             at_least(0));
    v.option("limit_headers", &limit_headers, "say limits and waits in headers, as the vendors do");
    v.option("tokens_counted", choice(&tokens_counted, llm::tokens_counted_words()),
             "what counts against tokens_per_minute: used (prompt and answer) or reserved (prompt and max_tokens)");
    v.option("quota_tokens", &quota_tokens, "tokens after which the quota is exhausted (0: none)", at_least(0));
    v.option("latency_ms", &latency_ms, "median time to answer", at_least(0));
    v.option("latency_sigma", &latency_sigma, "spread of its logarithm (log-normal)", between(0, 3));
    for (const auto& f : fault_shares)
        v.option(f.name, &(this->*f.share), std::string("share of requests that get ") + std::string(f.help),
                 between(0, 1));
    v.option("stall_s", &stall_s, "how long a stalled request waits", at_least(0));
    v.option("drip_s", &drip_s, "how long a dripped answer takes", at_least(0));
}

void SimulatorSettings::check() const {
    double sum = 0;
    for (const auto& f : fault_shares) sum += this->*f.share;
    if (sum > 1)
        throw UsageError(fmt::format("[simulate]: the fault shares add up to {}", sum), "they must not pass 1");
    if (!key_env.empty() && !std::getenv(key_env.c_str()))
        throw UsageError(fmt::format("[simulate]: the environment variable {} is not set", key_env),
                         "export it, or leave key_env empty");
}

struct Simulator::Impl {
    struct ModelLimits {
        SecondLimit requests, tokens;
    };

    SimulatorSettings settings;
    AnswerFunction answer;
    std::string key;
    SimulatorServer server;
    int port = 0;
    std::thread listener;
    std::FILE* log = nullptr;
    std::mutex mutex;
    std::map<std::string, ModelLimits> limits;
    std::unordered_map<Digest, int, DigestHash> attempts;
    Simulator::Counts counts;

    Impl(const SimulatorSettings& s, AnswerFunction a) : settings(s), answer(std::move(a)), server(s.threads) {}

    // One line a request, written before the answer leaves: what was paid for is never missing from it.
    void note(const Digest& content, const SimulatedCall& call, std::string_view outcome, bool paid, std::int64_t in,
              std::int64_t out) {
        const std::lock_guard lock(mutex);
        if (paid) counts.tokens_in += in, counts.tokens_out += out;
        if (!log) return;
        const auto line = Json{{"at", wall_now()},
                               {"content", content.hex()},
                               {"attempt", call.attempt},
                               {"model", call.model},
                               {"outcome", outcome},
                               {"paid", paid},
                               {"in", in},
                               {"out", out},
                               {"image_bytes", call.image.size()},
                               {"user", excerpt(call.user, 80)}}
                              .dump(-1, ' ', false, Json::error_handler_t::replace);
        std::fprintf(log, "%s\n", line.c_str());
        std::fflush(log);
    }

    void add_limit_headers(httplib::Response& response, const ModelLimits& of_model) const {
        if (!settings.limit_headers) return;
        for (const auto& [name, limit] : {std::pair{"requests", &of_model.requests}, {"tokens", &of_model.tokens}}) {
            if (!limit->limited()) continue;
            response.set_header(fmt::format("x-ratelimit-limit-{}", name), fmt::format("{:.0f}", limit->limit()));
            response.set_header(fmt::format("x-ratelimit-remaining-{}", name),
                                fmt::format("{:.0f}", limit->remaining()));
            response.set_header(fmt::format("x-ratelimit-reset-{}", name),
                                fmt::format("{:.0f}ms", std::ceil(limit->reset_s() * 1000)));
        }
    }

    static void refuse(httplib::Response& response, int status, std::string_view message, std::string_view type,
                       std::string_view code) {
        response.status = status;
        response.set_content(error_body(message, type, code), "application/json");
    }

    // Repeats what it refuses, as some servers do.
    bool wrong_key(const httplib::Request& request, httplib::Response& response) const {
        const auto given = request.get_header_value("Authorization");
        if (key.empty() || given == "Bearer " + key) return false;
        refuse(
            response, 401,
            "Incorrect API key provided: " + given.substr(std::min(given.size(), std::string_view("Bearer ").size())),
            "invalid_request_error", "invalid_api_key");
        return true;
    }

    // One request on its way through serve().
    struct Exchange {
        httplib::Response& response;
        ChatRequest request;
        SimulatedCall& call = request.call;
        Digest content{};  // of what the request says: what happens to it depends on that
        std::int64_t prompt_tokens = 0;
        ModelLimits* limits = nullptr;
        Fault fault = Fault::none;
        std::string_view outcome = "answered";  // for the log
        std::string text{}, finish = "stop";
        Json refusal = nullptr;
    };

    void serve(const httplib::Request& request, httplib::Response& response) {
        {
            const std::lock_guard lock(mutex);
            ++counts.requests;
        }
        if (wrong_key(request, response)) return;
        Exchange x{response, read_chat_request(request.body)};
        if (unfit(x)) return;
        identify(x);
        if (beyond_its_limit(x)) return note(x.content, x.call, "429 limit", false, 0, 0);
        draw_fault(x);
        if (refused_by_fault(x)) return note(x.content, x.call, x.outcome, false, 0, 0);
        try {
            x.text = answer(x.call);
        } catch (const InputError& e) {
            refuse(response, 400, e.what(), "invalid_request_error", "bad_request");
            return note(x.content, x.call, "400", false, 0, 0);
        }
        spoil_text(x);
        if (quota_exhausted(x)) return note(x.content, x.call, "429 quota", false, 0, 0);
        wait_as_a_model_would(x);
        deliver(x);
    }

    bool unfit(const Exchange& x) const {
        if (!x.request.error.empty()) {
            refuse(x.response, 400, x.request.error, "invalid_request_error", "bad_request");
            return true;
        }
        const auto& models = settings.models;
        if (models.empty() || std::find(models.begin(), models.end(), x.call.model) != models.end()) return false;
        refuse(x.response, 404,
               fmt::format("The model `{}` does not exist or you do not have access to it", x.call.model),
               "invalid_request_error", "model_not_found");
        return true;
    }

    static void identify(Exchange& x) {
        const auto image_digest = digest_of(std::span<const std::byte>(x.call.image));
        x.content = DigestBuilder()
                        .add(x.call.model)
                        .add(x.call.system)
                        .add(x.call.user)
                        .add(image_digest)
                        .add(x.call.response_schema)
                        .finish();
        x.prompt_tokens = llm::text_tokens(x.call.system) + llm::text_tokens(x.call.user) + 8 +
                          (x.call.image.empty() ? 0 : tokens_a_picture);
        x.response.set_header("x-request-id", "sim-" + x.content.hex().substr(0, 16));
    }

    // The limit comes before all faults, so that which attempt this is does not depend on timing.
    bool beyond_its_limit(Exchange& x) {
        const std::lock_guard lock(mutex);
        x.limits = &limits
                        .try_emplace(x.call.model, ModelLimits{SecondLimit(settings.requests_per_minute),
                                                               SecondLimit(settings.tokens_per_minute)})
                        .first->second;
        const double now = wall_now();
        const bool requests_open = x.limits->requests.open(now), tokens_open = x.limits->tokens.open(now);
        if (requests_open && tokens_open) {
            x.limits->requests.take(1);
            x.call.attempt = attempts[x.content]++;
            return false;
        }
        ++counts.refused_by_limit;
        add_limit_headers(x.response, *x.limits);
        const double wait = std::max(requests_open ? 0 : x.limits->requests.wait_s(now),
                                     tokens_open ? 0 : x.limits->tokens.wait_s(now));
        if (settings.limit_headers) {
            x.response.set_header("retry-after", fmt::format("{:.0f}", std::ceil(wait)));
            x.response.set_header("retry-after-ms", fmt::format("{:.0f}", std::ceil(wait * 1000)));
        }
        const auto what = requests_open ? "tokens" : "requests";
        refuse(x.response, 429, fmt::format("Rate limit reached for `{}` on {} per min", x.call.model, what), what,
               "rate_limit_exceeded");
        return true;
    }

    void draw_fault(Exchange& x) {
        x.call.seed =
            random_bits(settings.seed_value() ^ DigestHash{}(x.content), static_cast<std::uint64_t>(x.call.attempt));
        double left = random_unit(x.call.seed, 1);
        for (const auto& f : fault_shares)
            if (x.fault == Fault::none && (left -= settings.*f.share) < 0) x.fault = f.fault, x.outcome = f.name;
        if (x.fault == Fault::none) return;
        const std::lock_guard lock(mutex);
        ++counts.faults;
    }

    static bool refused_by_fault(Exchange& x) {
        switch (x.fault) {
            case Fault::rate_limited:
                refuse(x.response, 429, "Rate limit reached for requests", "requests", "rate_limit_exceeded");
                return true;
            case Fault::error_500:
                refuse(x.response, 500, "The server had an error while processing your request", "server_error", "");
                return true;
            case Fault::error_503:
                refuse(x.response, 503, "The engine is currently overloaded", "server_error", "");
                return true;
            default: return false;
        }
    }

    // What faults and max_tokens make of the answer.
    static void spoil_text(Exchange& x) {
        auto& text = x.text;
        const auto most_tokens = static_cast<std::size_t>(x.request.max_tokens);
        if (x.fault == Fault::refusal) x.refusal = "I'm sorry, but I can't help with that.", text.clear();
        if (x.fault == Fault::chatter)
            text = "Sure! Here is what you asked for:\n```\n" + text + "\n```\nLet me know if you need anything else.";
        if (x.fault == Fault::content_filter) text.clear(), x.finish = "content_filter";
        if (x.fault == Fault::truncated) text.resize(text.size() / 2), x.finish = "length";
        if (static_cast<std::size_t>(llm::text_tokens(text)) > most_tokens)
            text.resize(most_tokens * 4), x.finish = "length";
    }

    // Takes the tokens off the limits besides.
    bool quota_exhausted(Exchange& x) {
        const std::lock_guard lock(mutex);
        const bool reserved = settings.tokens_counted == llm::TokensCounted::reserved;
        x.limits->tokens.take(
            static_cast<double>(x.prompt_tokens + (reserved ? x.request.max_tokens : llm::text_tokens(x.text))));
        add_limit_headers(x.response, *x.limits);
        const bool exhausted = settings.quota_tokens > 0 &&
                               static_cast<double>(counts.tokens_in + counts.tokens_out) >= settings.quota_tokens;
        if (exhausted)
            refuse(x.response, 429, "You exceeded your current quota, please check your plan and billing details.",
                   "insufficient_quota", "insufficient_quota");
        else ++counts.answered;
        return exhausted;
    }

    void wait_as_a_model_would(const Exchange& x) {
        if (settings.latency_ms > 0)
            server.sleep_s(settings.latency_ms * 1e-3 *
                           std::min(longest_latency, std::exp(settings.latency_sigma * normal(x.call.seed))));
        if (x.fault == Fault::stall) server.sleep_s(settings.stall_s);
    }

    void deliver(Exchange& x) {
        const auto answer_tokens = llm::text_tokens(x.text);
        auto body = Json{{"id", "chatcmpl-" + x.content.hex().substr(0, 12)},
                         {"object", "chat.completion"},
                         {"created", static_cast<std::int64_t>(wall_now())},
                         {"model", x.call.model},
                         {"choices",
                          {{{"index", 0},
                            {"message", {{"role", "assistant"}, {"content", x.text}, {"refusal", x.refusal}}},
                            {"finish_reason", x.finish}}}},
                         {"usage",
                          {{"prompt_tokens", x.prompt_tokens},
                           {"completion_tokens", answer_tokens},
                           {"total_tokens", x.prompt_tokens + answer_tokens}}}}
                        .dump(-1, ' ', false, Json::error_handler_t::replace);
        std::string type = "application/json";
        auto& delivery = SimulatorServer::delivery();
        if (x.fault == Fault::broken_json) body.resize(body.size() * 2 / 3);
        if (x.fault == Fault::html) body = "<html><body><h1>502 Bad Gateway</h1></body></html>", type = "text/html";
        if (x.fault == Fault::reset) delivery.way = Delivery::Way::reset;
        if (x.fault == Fault::cut_body) delivery.way = Delivery::Way::cut;
        if (x.fault == Fault::slow_drip) delivery = {Delivery::Way::drip, settings.drip_s};
        note(x.content, x.call, x.outcome, true, x.prompt_tokens, answer_tokens);
        x.response.set_content(body, type);
    }
};

Simulator::Simulator(const SimulatorSettings& settings, AnswerFunction answer)
    : impl_(std::make_unique<Impl>(settings, std::move(answer))) {
    auto& impl = *impl_;
    settings.check();
    if (!settings.key_env.empty()) impl.key = std::getenv(settings.key_env.c_str());
    if (!settings.request_log.empty()) {
        impl.log = std::fopen(settings.request_log.c_str(), "ae");
        if (!impl.log)
            throw StorageError(fmt::format("{}: the request log cannot be written", settings.request_log.string()));
    }
    impl.server.Post("/v1/chat/completions", [&impl](const httplib::Request& request, httplib::Response& response) {
        impl.serve(request, response);
    });
    impl.server.Get("/v1/models", [&impl](const httplib::Request& request, httplib::Response& response) {
        if (impl.wrong_key(request, response)) return;
        Json data = Json::array();
        for (const auto& model : impl.settings.models) data.push_back({{"id", model}, {"object", "model"}});
        response.set_content(
            impl.settings.models.empty() ? R"({"object":"list"})" : Json{{"object", "list"}, {"data", data}}.dump(),
            "application/json");
    });
    impl.port = settings.port > 0 ? (impl.server.bind_to_port(settings.host, settings.port) ? settings.port : -1)
                                  : impl.server.bind_to_any_port(settings.host);
    if (impl.port < 0)
        throw EndpointError(fmt::format("the simulator cannot listen at {}:{}", settings.host, settings.port),
                            "choose another port, or 0 for any");
    impl.listener = std::thread([&impl] { impl.server.listen_after_bind(); });
    while (!impl.server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!settings.port_file.empty()) storage::publish_text(settings.port_file, fmt::format("{}\n", impl.port));
}

Simulator::~Simulator() {
    impl_->server.begin_stop();
    impl_->server.stop();
    impl_->listener.join();
    if (impl_->log) std::fclose(impl_->log);
}

int Simulator::port() const { return impl_->port; }
std::string Simulator::url() const { return fmt::format("http://{}:{}/v1", impl_->settings.host, impl_->port); }

Simulator::Counts Simulator::counts() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->counts;
}

void run_simulator(const SimulatorSettings& settings, AnswerFunction answer) {
    Simulator simulator(settings, std::move(answer));
    log::info("serving chat completions at {} (stop with Ctrl-C or SIGTERM)", simulator.url());
    while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto counts = simulator.counts();
    log::info("served {} requests: {} answered, {} refused by the limit, {} with a fault; {} + {} tokens",
              counts.requests, counts.answered, counts.refused_by_limit, counts.faults, counts.tokens_in,
              counts.tokens_out);
}

}  // namespace tg::simulator
