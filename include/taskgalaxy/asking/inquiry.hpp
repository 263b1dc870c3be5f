// How a stage asks models, from the first question to the bill. Every rank makes one Inquiry and calls its collectives
// in this order:
//
//   Inquiry inquiry(context, plan);        who asks (api.ranks); journals of earlier lives are folded
//   inquiry.run({.work = [&] { inquiry.ask(questions); }, ...});
//   inquiry.bill(context.figures);         what it cost: log, figures, RUN/costs/STAGE.json
//
// Which questions a rank puts is the stage's own affair: the asking ranks are numbered 0 .. askers()-1, each has its
// share of the endpoints' limits, and results must not depend on how many they are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "taskgalaxy/asking/asker.hpp"
#include "taskgalaxy/asking/endpoints.hpp"
#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::asking {

enum class Askers {
    all,  // every rank that api.ranks names
    one,  // the first of them: for questions that hang on each other's answers
};

struct InquiryPlan {
    std::string stage;                        // its name: costs/STAGE.json
    std::set<std::string> steps;              // Request::stage of its requests; nothing else is billed
    Endpoints endpoints;                      // all that the job defines
    std::vector<std::string> endpoint_names;  // those it asks
    llm::ApiSettings api;
    Askers askers = Askers::all;
};

// What the main threads do while asking ranks ask on threads of their own (company.hpp). `work` and `serve` are left
// out on ranks that do not ask.
struct Errand {
    std::function<void()> work;   // holds ask(), or waits for it. No MPI and no HDF5 inside
    std::function<void()> serve;  // writes what is finished
    std::function<std::vector<std::int64_t>()> counts;
    std::function<void(std::span<const std::int64_t>)> look;
};

class Inquiry {
public:
    // Collective. Throws AgreedFailure: api.ranks names none, a journal cannot be folded. `context.ranks` must live as
    // long as this.
    Inquiry(const run::StageContext& context, InquiryPlan plan);
    Inquiry(const Inquiry&) = delete;
    Inquiry& operator=(const Inquiry&) = delete;

    bool asks() const { return number_ >= 0; }
    int number() const { return number_; }  // of this rank among those that ask; -1: it does not
    int askers() const { return static_cast<int>(asking_.size()); }
    int first_rank() const { return asking_.front(); }

    // On a rank that asks, once, on any one thread: opens the engine, lets `questions` put them all, and closes it.
    // Throws UsageError, EndpointError, StorageError and what `questions` throws; returns early, without a word, where
    // another rank has failed: that one says why.
    void ask(const std::function<void(Asker&)>& questions);
    // From any thread: how the asking goes; empty while no engine is open.
    std::string live_text() const;

    // Collective. Returns when the work of all ranks has ended well, journals folded; else throws AgreedFailure on
    // every rank, after all work has ended.
    void run(Errand errand);
    // Collective, after run(): adds the expenses of all ranks to `figures`; `scribe` logs and publishes them.
    void bill(run::Figures& figures, int scribe = 0) const;

private:
    void fold_journals() const;

    const parallel::Communicator& ranks_;
    run::Paths paths_;
    InquiryPlan plan_;
    std::vector<int> asking_;
    int number_ = -1;
    std::atomic<bool> abandoned_{false};
    mutable std::mutex mutex_;
    const llm::Engine* engine_ = nullptr;  // while it is open
    std::optional<llm::EngineFigures> figures_;
};

}  // namespace tg::asking
