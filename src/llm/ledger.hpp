// The engine's books: what became of the requests of each endpoint and stage, what was paid now and by earlier runs,
// and what this rank may still spend of api.budget_usd (its share of what earlier runs left).
//
// The engine's thread writes; figures() may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "answer_record.hpp"
#include "taskgalaxy/llm/figures.hpp"
#include "taskgalaxy/llm/request.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/llm/tokens.hpp"

namespace tg::llm {

class Ledger {
public:
    // `endpoints` must outlive this. `budget_usd` 0: none; else every endpoint has its prices.
    Ledger(const std::map<std::string, EndpointSettings>& endpoints, double budget_usd, int ranks,
           const PaidByEndpointAndStage& paid_before);

    // The account of an endpoint and stage; only the ledger reads or changes it.
    using Account = EndpointFigures*;
    Account account(const std::string& endpoint, const std::string& stage);

    // A request was given, and ends in from_journal() or ended(), once.
    void asked(Account account) { count(account->asked); }
    void from_journal(Account account) { count(account->from_journal); }
    // `askers` gave the same request: the first was served, the others are answered without having been sent. What was
    // stopped is left to all of them. `failure` begins with its class.
    void ended(Account account, Reply::Status status, std::size_t askers, const std::string& failure);

    // On the way.
    void sent(Account account) { count(account->sent); }
    void rate_limited(Account account) { count(account->rate_limited); }
    void retried(Account account) { count(account->retries); }
    void asked_again(Account account) { count(account->asked_again); }
    void paid(Account account, const AnswerRecord& record);

    // Money. What is sent is reserved at the most that it may cost until it came back, so that no order of answers
    // spends more than the budget.
    bool affords(double usd) const;  // always where there is no budget
    void reserve(double usd) { usd_reserved_ += usd; }
    void release(double usd) { usd_reserved_ -= usd; }
    double usd_left() const { return usd_share_ - usd_spent_; }

    // Says in the log that a request was given up; of those that repeat themselves (same endpoint and class) only some.
    void tell_failure(const AnswerRecord& record);
    // The first five, then every tenfold.
    static bool worth_telling(std::uint64_t times);

    // What is not counted here, for figures().
    void publish(std::uint64_t queued, std::map<std::string, EndpointState> endpoints);
    EngineFigures figures() const;

private:
    void count(std::uint64_t& counter) {
        const std::lock_guard lock(mutex_);
        ++counter;
    }

    const std::map<std::string, EndpointSettings>& endpoints_;
    bool limited_;
    double usd_share_ = 0, usd_spent_ = 0, usd_reserved_ = 0;  // this rank's
    std::map<std::string, std::uint64_t> failures_;            // by endpoint and class
    mutable std::mutex mutex_;                                 // of what follows
    EngineFigures figures_;
};

// Dollars for what a request used; `cached` are those of its prompt tokens that the vendor's cache served. Nothing
// where a price that matters is unknown.
std::optional<double> charge_usd(const EndpointSettings& endpoint, TokenEstimate used, std::int64_t cached);

}  // namespace tg::llm
