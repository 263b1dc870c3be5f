// What asking was paid with, dollars and tokens (core/costs.hpp counts work: seconds and bytes): the engines' figures
// of all asking ranks in one table, for the log, run.h5, RUN/costs/STAGE.json and `plan`'s extrapolation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::asking {

struct Expense {
    std::int64_t asked = 0, answered = 0, from_journal = 0, failed = 0, sent = 0, retries = 0, asked_again = 0,
                 rate_limited = 0;
    std::int64_t tokens_in = 0, tokens_out = 0;  // of this run and, from the journal, of earlier ones
    double usd = 0;
    bool price_known = true;

    Expense& operator+=(const Expense& other);
    template <class Self> static auto fields(Self& e) {
        return std::tie(e.asked, e.answered, e.from_journal, e.failed, e.sent, e.retries, e.asked_again, e.rate_limited,
                        e.tokens_in, e.tokens_out, e.usd, e.price_known);
    }
};
using Expenses = std::map<std::pair<std::string, std::string>, Expense>;  // by (step, endpoint)

// One engine's account: what it asked itself, and what it found paid when it opened. Every engine reads the journals of
// all ranks: each finds the same past, and one that opens late also what others have bought meanwhile.
struct Account {
    Expenses now, before;
    template <class Self> static auto fields(Self& a) { return std::tie(a.now, a.before); }
};
// Only `steps` (Request::stage) count: the journal that an engine reads knows of others too.
Account account_of(const llm::EngineFigures& figures, const std::set<std::string>& steps);
// The accounts of all engines, in rank order: what they asked is summed, the past is counted once: the least that one
// of them found.
Expenses total(std::span<const Account> accounts);
// Collective: every rank gives its engine's figures (or none) and gets the total.
Expenses sum_expenses(const parallel::Communicator& ranks, const llm::EngineFigures* mine,
                      const std::set<std::string>& steps);

void log_expenses(const Expenses& expenses);
// While it runs: "$3.20, generator 49.6 requests/s of 50.0, judge1 148.9 requests/s" (of this rank; limits where they
// are known).
std::string live_text(const llm::EngineFigures& figures);
// "refine.requests", "refine.usd", ...: summed over endpoints.
void add_expense_figures(run::Figures& figures, const Expenses& expenses);

// RUN/costs/STAGE.json, one object a (step, endpoint); read back by `plan` and by the report.
std::filesystem::path expenses_file(const run::Paths& paths, std::string_view stage);
void write_expenses(const std::filesystem::path& file, const Expenses& expenses);
Expenses read_expenses(const std::filesystem::path& file);  // empty where there is no such file

}  // namespace tg::asking
