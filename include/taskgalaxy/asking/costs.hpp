// What asking cost: the engines' figures of all API ranks in one table, for the log, run.h5, costs.json and `plan`'s
// extrapolation.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "taskgalaxy/llm/chat.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::asking {

struct Cost {
    std::int64_t asked = 0, answered = 0, from_journal = 0, failed = 0, sent = 0, retries = 0, asked_again = 0,
                 rate_limited = 0;
    std::int64_t tokens_in = 0, tokens_out = 0;  // of this run and, from the journal, of earlier ones
    double usd = 0;
    bool price_known = true;
};
using Costs = std::map<std::pair<std::string, std::string>, Cost>;  // by (stage, endpoint)

// Collective: every rank gives its engine's figures (or none) and gets the sums. Only `stages` count: the journal that
// an engine reads knows of others too.
Costs sum_costs(const parallel::Communicator& ranks, const llm::EngineFigures* mine,
                const std::set<std::string>& stages);

void log_costs(const Costs& costs);
// While it runs: "$3.20, generator 49.6 requests/s of 50.0, judge1 148.9 requests/s" (of this rank; limits where they
// are known).
std::string live_text(const llm::EngineFigures& figures);
// "refine.requests", "refine.usd", ...: summed over endpoints.
void add_cost_figures(run::Figures& figures, const Costs& costs);

// RUN/costs/NAME.json, one object a (stage, endpoint); read back by `plan`.
void write_costs(const std::filesystem::path& file, const Costs& costs);
Costs read_costs(const std::filesystem::path& file);  // empty where there is no such file

}  // namespace tg::asking
