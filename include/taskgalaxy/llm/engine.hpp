// Asks models: chat completions of several endpoints at once, each at its own limit, from one thread that never blocks
// on a picture, a disk or a slow server. Every answer is durable in the journal before its `done` runs, and an
// identical request is answered from the journal instead of being sent (design: asking models; nothing is bought
// twice). The engine knows no MPI: one engine an API rank, on any one thread; limits are divided by the number of API
// ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/figures.hpp"
#include "taskgalaxy/llm/request.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::llm {

// Why run() came back without an error.
enum class RunEnd {
    finished,
    stop_requested,  // stop_requested() became true
    budget,          // the next request would pass api.budget_usd
};

// For a stage that cannot end without all its answers: throws Stopped, or says that the budget is spent
// (ExitCode::done).
void throw_if_ended_early(RunEnd end, const std::string& stage);

class EngineLoop;
class Transport;

// One thread calls everything but figures().
class Engine {
public:
    // Reads the keys, opens this rank's new journal file in `journal_folder` and indexes all that are there. This is
    // API rank `api_rank` of `api_ranks`, which share the limits and the budget. Throws UsageError (settings),
    // EndpointError (no key), StorageError.
    Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
           const std::filesystem::path& journal_folder, int api_rank, int api_ranks);
    // The same over another way to models than HTTP; `transport` makes it, once the settings are found good.
    Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
           const std::filesystem::path& journal_folder, int api_rank, int api_ranks,
           const std::function<std::unique_ptr<Transport>()>& transport);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Before run(), or inside `feed` and `done`. `done` is called exactly once, inside run(); what it throws ends run()
    // after the drain. A request that is the same (by key()) as one on its way or in the journal is not sent. Throws
    // UsageError where there is no such endpoint.
    void submit(Request request, AnswerCheck check, std::function<void(Reply)> done);

    // Drives everything until nothing is queued or in flight. `feed` submits some more requests and returns false when
    // it has no more; it is asked while fewer than api.queued_items are queued. When the engine stops (stop request,
    // budget, dead endpoint, too many failures), sending stops, what is in flight may come in for api.drain_s, and what
    // is left gets `stopped`. Throws after that drain: EndpointError for a dead endpoint and too many failures,
    // StorageError when the journal cannot be written (what is in flight is then dropped at once), and what a callback
    // threw; the first of them. May be called again, unless it stopped or threw.
    RunEnd run(const std::function<bool()>& feed);

    // Callable from any thread while run() runs.
    EngineFigures figures() const;

    // The key under which the answer to `request` is kept: digest of stage, item, model, sampling, texts, image digest
    // and schema. Throws UsageError where there is no such endpoint.
    Digest key(const Request& request) const;

private:
    std::unique_ptr<EngineLoop> loop_;
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
