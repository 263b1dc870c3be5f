// Asks models: OpenAI-compatible chat completions to several endpoints at once, each at its own limit, from one thread
// that never blocks on a picture, a disk or a slow server. Every answer is durable in the journal before its `done`
// runs, and an identical request is answered from the journal instead of being sent (design: asking models; nothing is
// bought twice). The engine knows no MPI: one engine an API rank, on any one thread; limits are divided by the number
// of API ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::llm {

// A picture as it is sent. One may be shared by many requests (three judges of one sample).
struct ChatImage {
    std::string media_type;  // "image/jpeg"
    std::string base64;
    int width = 0, height = 0;  // for the token estimate
};

struct Request {
    std::string endpoint;      // name of an [endpoint.NAME] section
    std::string stage;         // figures are kept per endpoint and stage
    std::string item;          // "image 17 type 2044": for failure lines, and part of the key
    std::string system, user;  // `system` may be empty; the picture comes before the text of `user`
    Digest image_digest{};  // of what decides the picture's bytes (file digest, longest side, quality); part of the key
    std::function<std::shared_ptr<const ChatImage>()>
        image;                    // on the engine's encoding threads, only when really sent; empty: no picture
    std::string response_schema;  // JSON schema or empty; sent only where the endpoint has structured_output
    int max_tokens = 0;           // 0: the endpoint's
    int priority = 0;             // higher first
};

struct Reply {
    enum class Status {
        answered,
        failed,   // every try allowed was made; `failure` says why, `text` holds the last raw answer if there was one
        stopped,  // the engine stopped before an answer came; nothing is recorded, the next start asks it
    };
    Status status = Status::failed;
    std::string text;
    std::string failure;
    bool from_journal = false;
};

// Says why an answer cannot be used (it is then asked again, a bounded number of times), or nothing when it is fine.
using AnswerCheck = std::function<std::string(std::string_view answer)>;

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

// Why run() came back without an error.
enum class RunEnd {
    finished,
    stop_requested,  // stop_requested() became true
    budget,          // the next request would pass api.budget_usd
};

// For a stage that cannot end without all its answers: throws Stopped, or says that the budget is spent
// (ExitCode::done).
void throw_if_ended_early(RunEnd end, const std::string& stage);

class Engine {
public:
    // Opens this rank's new journal file in `journal_folder` and indexes all that are there; keys are read here. Throws
    // UsageError (settings), EndpointError (no key), StorageError.
    Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
           const std::filesystem::path& journal_folder, int api_rank, int api_ranks);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // From the thread that runs run(), before it or inside `feed` and `done`. `done` is called exactly once, inside
    // run().
    void submit(Request request, AnswerCheck check, std::function<void(Reply)> done);

    // Drives everything until nothing is queued or in flight. `feed` submits some more requests and returns false when
    // it has no more; it is asked while fewer than api.queued_items are queued. When the engine stops (stop request,
    // budget, dead endpoint, too many failures), sending stops, what is in flight may come in for api.drain_s, and what
    // is left gets `stopped`. A dead endpoint and too many failures then throw EndpointError; an exception from a
    // callback is passed on after the same drain.
    RunEnd run(const std::function<bool()>& feed);

    // Callable from any thread while run() runs.
    EngineFigures figures() const;

    // The key under which the answer to `request` is kept: digest of stage, item, model, sampling, texts, image digest
    // and schema.
    Digest key(const Request& request) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Folds the journals of `journal_folder` into HDF5 files beside them (one row an answer, paid, failed or unusable),
// from which later engines answer as they do from a journal. One rank calls it, while no engine is open there. Returns
// how many answers were folded. Throws StorageError; killed at any instant, the next call goes on.
std::uint64_t fold_answers(const std::filesystem::path& journal_folder);

// The cheap early call: GET models at each url of each endpoint, so that a wrong key, a dead host or a missing model is
// known in seconds. Throws EndpointError with one line that names endpoint, url, cause and fix; a server without that
// path passes.
void check_endpoints(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api);

}  // namespace tg::llm
