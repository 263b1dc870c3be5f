#include "ledger.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "taskgalaxy/core/log.hpp"

namespace tg::llm {
namespace {

constexpr std::uint64_t failures_told = 5;  // of a kind, line by line

bool priced(const EndpointSettings& endpoint) { return endpoint.price_in >= 0 && endpoint.price_out >= 0; }

}  // namespace

Ledger::Ledger(const std::map<std::string, EndpointSettings>& endpoints, double budget_usd, int ranks,
               const PaidByEndpointAndStage& paid_before)
    : endpoints_(endpoints), limited_(budget_usd > 0) {
    for (const auto& [name_and_stage, paid] : paid_before) {
        auto& f = figures_.by_endpoint_and_stage[name_and_stage];
        f.tokens_in_before = paid.tokens_in;
        f.tokens_out_before = paid.tokens_out;
        f.usd_before = paid.usd;
        f.price_known = paid.price_known;
        figures_.price_known &= paid.price_known;
        figures_.usd += paid.usd;
    }
    usd_share_ = (budget_usd - figures_.usd) / ranks;
}

Ledger::Account Ledger::account(const std::string& endpoint, const std::string& stage) {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = figures_.by_endpoint_and_stage.try_emplace({endpoint, stage});
    it->second.price_known = priced(endpoints_.at(endpoint)) && (fresh || it->second.price_known);
    figures_.price_known &= it->second.price_known;
    return &it->second;
}

void Ledger::ended(Account account, Reply::Status status, std::size_t askers, const std::string& failure) {
    const std::lock_guard lock(mutex_);
    switch (status) {
        case Reply::Status::stopped: account->stopped += askers; return;
        case Reply::Status::answered: ++account->answered; break;
        case Reply::Status::failed:
            ++account->failed;
            ++account->failed_by_class[failure.substr(0, failure.find(':'))];
            break;
    }
    account->from_journal += askers - 1;
}

void Ledger::paid(Account account, const AnswerRecord& record) {
    const double usd = record.usd.value_or(0);
    usd_spent_ += usd;
    const std::lock_guard lock(mutex_);
    account->tokens_in += record.tokens_in;
    account->tokens_out += record.tokens_out;
    account->usd += usd;
    figures_.usd += usd;
}

bool Ledger::affords(double usd) const { return !limited_ || usd_spent_ + usd_reserved_ + usd <= usd_share_; }

bool Ledger::worth_telling(std::uint64_t times) {
    if (times <= failures_told) return true;
    while (times % 10 == 0) times /= 10;
    return times == 1;
}

void Ledger::tell_failure(const AnswerRecord& record) {
    const auto times = ++failures_[record.endpoint + " " + record.kind];
    if (!worth_telling(times)) return;
    log::warn("{} {} at {}: given up after {} {}: {}: {}{}{}", record.stage, record.item, record.endpoint, record.tries,
              record.tries == 1 ? "try" : "tries", record.kind, record.detail,
              record.request_id.empty() ? "" : " [request " + record.request_id + "]",
              times > failures_told ? fmt::format(" (the {}th of this kind)", times) : "");
}

void Ledger::publish(std::uint64_t queued, std::map<std::string, EndpointState> endpoints) {
    const std::lock_guard lock(mutex_);
    figures_.queued = queued;
    figures_.endpoints = std::move(endpoints);
}

EngineFigures Ledger::figures() const {
    const std::lock_guard lock(mutex_);
    return figures_;
}

std::optional<double> charge_usd(const EndpointSettings& endpoint, TokenEstimate used, std::int64_t cached) {
    cached = endpoint.price_cached_in >= 0 ? std::min(cached, used.in) : 0;
    const double usd = dollars(endpoint, {used.in - cached, used.out});
    if (usd < 0) return std::nullopt;
    return cached > 0 ? usd + static_cast<double>(cached) * endpoint.price_cached_in * 1e-6 : usd;
}

}  // namespace tg::llm
