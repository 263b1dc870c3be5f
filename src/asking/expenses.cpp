#include "taskgalaxy/asking/expenses.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::asking {
namespace {

using nlohmann::json;

// The numbers by the names that costs/STAGE.json gives them.
template <class E, class Visit> void named_numbers(E& expense, Visit visit) {
    visit("asked", expense.asked);
    visit("answered", expense.answered);
    visit("from_journal", expense.from_journal);
    visit("failed", expense.failed);
    visit("sent", expense.sent);
    visit("retries", expense.retries);
    visit("asked_again", expense.asked_again);
    visit("rate_limited", expense.rate_limited);
    visit("tokens_in", expense.tokens_in);
    visit("tokens_out", expense.tokens_out);
    visit("usd", expense.usd);
}

json to_json(const Expenses& expenses) {
    json rows = json::array();
    for (const auto& [key, expense] : expenses) {
        json row{{"stage", key.first}, {"endpoint", key.second}, {"price_known", expense.price_known}};
        named_numbers(expense, [&](const char* name, const auto& value) { row[name] = value; });
        rows.push_back(std::move(row));
    }
    return rows;
}

Expenses from_json(const json& rows) {
    Expenses expenses;
    for (const auto& row : rows) {
        Expense expense;
        named_numbers(expense, [&](const char* name, auto& value) {
            value = row.at(name).get<std::remove_reference_t<decltype(value)>>();
        });
        expense.price_known = row.at("price_known").get<bool>();
        expenses[{row.at("stage").get<std::string>(), row.at("endpoint").get<std::string>()}] += expense;
    }
    return expenses;
}

Expense expense_of(const llm::EndpointFigures& figures) {
    const auto whole = [](std::uint64_t count) { return static_cast<std::int64_t>(count); };
    return {.asked = whole(figures.asked),
            .answered = whole(figures.answered),
            .from_journal = whole(figures.from_journal),
            .failed = whole(figures.failed),
            .sent = whole(figures.sent),
            .retries = whole(figures.retries),
            .asked_again = whole(figures.asked_again),
            .rate_limited = whole(figures.rate_limited),
            .tokens_in = figures.tokens_in,
            .tokens_out = figures.tokens_out,
            .usd = figures.usd,
            .price_known = figures.price_known};
}

}  // namespace

Expense& Expense::operator+=(const Expense& other) {
    asked += other.asked, answered += other.answered, from_journal += other.from_journal, failed += other.failed;
    sent += other.sent, retries += other.retries, asked_again += other.asked_again, rate_limited += other.rate_limited;
    tokens_in += other.tokens_in, tokens_out += other.tokens_out, usd += other.usd;
    price_known = price_known && other.price_known;
    return *this;
}

Account account_of(const llm::EngineFigures& figures, const std::set<std::string>& steps) {
    Account account;
    for (const auto& [key, counts] : figures.by_endpoint_and_stage) {
        const auto& [endpoint, step] = key;
        if (!steps.contains(step)) continue;
        account.now[{step, endpoint}] = expense_of(counts);
        account.before[{step, endpoint}] = {
            .tokens_in = counts.tokens_in_before, .tokens_out = counts.tokens_out_before, .usd = counts.usd_before};
    }
    return account;
}

Expenses total(std::span<const Account> accounts) {
    Expenses sum;
    for (const auto& account : accounts)
        for (const auto& [key, expense] : account.now) sum[key] += expense;
    if (accounts.empty()) return sum;
    // The first engine that was open saw the past alone; later ones may have seen answers of this run, too.
    auto past = accounts.front().before;
    for (const auto& account : accounts.subspan(1))
        for (auto& [key, least] : past) {
            const auto at = account.before.find(key);
            const auto seen = at == account.before.end() ? Expense() : at->second;
            least.tokens_in = std::min(least.tokens_in, seen.tokens_in);
            least.tokens_out = std::min(least.tokens_out, seen.tokens_out);
            least.usd = std::min(least.usd, seen.usd);
        }
    for (const auto& [key, expense] : past) sum[key] += expense;
    return sum;
}

Expenses sum_expenses(const parallel::Communicator& ranks, const llm::EngineFigures* mine,
                      const std::set<std::string>& steps) {
    std::vector<Account> accounts;
    for (auto& account : ranks.gather(mine ? std::optional(account_of(*mine, steps)) : std::nullopt))
        if (account) accounts.push_back(std::move(*account));
    return ranks.broadcast(total(accounts));
}

std::string live_text(const llm::EngineFigures& figures) {
    auto text = figures.price_known ? fmt::format("${:.2f}", figures.usd) : std::string("price unknown");
    for (const auto& [name, state] : figures.endpoints) {
        if (state.requests_per_s == 0 && state.in_flight == 0) continue;
        text += fmt::format(", {} {:.1f} requests/s", name, state.requests_per_s);
        if (state.limit_requests_per_minute > 0)
            text += fmt::format(" of {:.1f}", state.limit_requests_per_minute / 60);
        if (state.limit_tokens_per_minute > 0)
            text += fmt::format(", {:.0f} tokens/s of {:.0f}", state.tokens_per_s, state.limit_tokens_per_minute / 60);
    }
    return text;
}

void log_expenses(const Expenses& expenses) {
    for (const auto& [key, expense] : expenses)
        log::info(
            "{} by {}: {} asked, {} answered, {} from the journal, {} failed; {} sent, {} retried, {} asked again, {} "
            "refused for the rate; {} tokens in, {} out, {}",
            key.first, key.second, expense.asked, expense.answered, expense.from_journal, expense.failed, expense.sent,
            expense.retries, expense.asked_again, expense.rate_limited, expense.tokens_in, expense.tokens_out,
            expense.price_known ? fmt::format("${:.4f}", expense.usd) : std::string("price unknown"));
}

void add_expense_figures(run::Figures& figures, const Expenses& expenses) {
    std::map<std::string, Expense> by_step;
    for (const auto& [key, expense] : expenses) by_step[key.first] += expense;
    for (const auto& [step, sum] : by_step) {
        figures.emplace_back(step + ".requests", static_cast<double>(sum.asked));
        figures.emplace_back(step + ".requests_failed", static_cast<double>(sum.failed));
        figures.emplace_back(step + ".requests_from_journal", static_cast<double>(sum.from_journal));
        figures.emplace_back(step + ".asked_again", static_cast<double>(sum.asked_again));
        figures.emplace_back(step + ".tokens_in", static_cast<double>(sum.tokens_in));
        figures.emplace_back(step + ".tokens_out", static_cast<double>(sum.tokens_out));
        if (sum.price_known) figures.emplace_back(step + ".usd", sum.usd);
    }
}

std::filesystem::path expenses_file(const run::Paths& paths, std::string_view stage) {
    return paths.file(fmt::format("costs/{}.json", stage));
}

void write_expenses(const std::filesystem::path& file, const Expenses& expenses) {
    storage::publish_text(file, to_json(expenses).dump(1) + "\n");
}

Expenses read_expenses(const std::filesystem::path& file) {
    if (!std::filesystem::exists(file)) return {};
    try {
        return from_json(read_json(file));
    } catch (const json::exception& error) {
        throw InputError(fmt::format("{}: no cost table ({})", file.string(), error.what()),
                         "remove it; it is written again by the next run");
    }
}

}  // namespace tg::asking
