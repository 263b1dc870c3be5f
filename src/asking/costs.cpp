#include "taskgalaxy/asking/costs.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::asking {
namespace {

using nlohmann::json;

// One list of the fields for writing, reading and summing. (What earlier runs paid is the same on every rank: it is not
// summed.)
template <class C, class Visit> void fields(C& cost, Visit visit) {
    visit("asked", cost.asked), visit("answered", cost.answered), visit("from_journal", cost.from_journal),
        visit("failed", cost.failed);
    visit("sent", cost.sent), visit("retries", cost.retries), visit("asked_again", cost.asked_again),
        visit("rate_limited", cost.rate_limited);
    visit("tokens_in", cost.tokens_in), visit("tokens_out", cost.tokens_out), visit("usd", cost.usd);
}

json to_json(const Costs& costs) {
    json rows = json::array();
    for (const auto& [key, cost] : costs) {
        json row{{"stage", key.first}, {"endpoint", key.second}, {"price_known", cost.price_known}};
        fields(cost, [&](const char* name, const auto& value) { row[name] = value; });
        rows.push_back(std::move(row));
    }
    return rows;
}

Costs from_json(const json& rows) {
    Costs costs;
    for (const auto& row : rows) {
        auto& cost = costs[{row.at("stage").get<std::string>(), row.at("endpoint").get<std::string>()}];
        fields(cost, [&](const char* name, auto& value) {
            value += row.at(name).get<std::remove_reference_t<decltype(value)>>();
        });
        cost.price_known = cost.price_known && row.at("price_known").get<bool>();
    }
    return costs;
}

Cost cost_of(const llm::EndpointFigures& figures) {
    const auto whole = [](std::uint64_t count) { return static_cast<std::int64_t>(count); };
    Cost cost;
    cost.asked = whole(figures.asked), cost.answered = whole(figures.answered),
    cost.from_journal = whole(figures.from_journal), cost.failed = whole(figures.failed);
    cost.sent = whole(figures.sent), cost.retries = whole(figures.retries),
    cost.asked_again = whole(figures.asked_again), cost.rate_limited = whole(figures.rate_limited);
    cost.tokens_in = figures.tokens_in, cost.tokens_out = figures.tokens_out, cost.usd = figures.usd;
    cost.price_known = figures.price_known;
    return cost;
}

}  // namespace

Costs sum_costs(const parallel::Communicator& ranks, const llm::EngineFigures* mine,
                const std::set<std::string>& stages) {
    Costs here, before;
    if (mine)
        for (const auto& [key, figures] : mine->by_endpoint_and_stage) {
            if (!stages.contains(key.second)) continue;
            here[{key.second, key.first}] = cost_of(figures);
            // Every engine reads the journals of all ranks, so each knows the same past.
            Cost past;
            past.tokens_in = figures.tokens_in_before, past.tokens_out = figures.tokens_out_before,
            past.usd = figures.usd_before;
            before[{key.second, key.first}] = past;
        }
    json all = json::array();
    for (const auto& text : ranks.gather<std::string>(to_json(here).dump()))
        for (auto& row : json::parse(text)) all.push_back(std::move(row));
    std::map<std::pair<std::string, std::string>, Cost> most;
    for (const auto& text : ranks.gather<std::string>(to_json(before).dump()))
        for (const auto& [key, past] : from_json(json::parse(text))) {
            auto& known = most[key];
            known.tokens_in = std::max(known.tokens_in, past.tokens_in),
            known.tokens_out = std::max(known.tokens_out, past.tokens_out), known.usd = std::max(known.usd, past.usd);
        }
    for (auto& row : to_json(most)) all.push_back(std::move(row));
    return from_json(json::parse(ranks.broadcast<std::string>(all.dump())));
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

void log_costs(const Costs& costs) {
    for (const auto& [key, cost] : costs)
        log::info(
            "{} by {}: {} asked, {} answered, {} from the journal, {} failed; {} sent, {} retried, {} asked again, {} "
            "refused for the rate; {} tokens in, {} out, {}",
            key.first, key.second, cost.asked, cost.answered, cost.from_journal, cost.failed, cost.sent, cost.retries,
            cost.asked_again, cost.rate_limited, cost.tokens_in, cost.tokens_out,
            cost.price_known ? fmt::format("${:.4f}", cost.usd) : std::string("price unknown"));
}

void add_cost_figures(run::Figures& figures, const Costs& costs) {
    std::map<std::string, Cost> by_stage;
    for (const auto& [key, cost] : costs) {
        auto& sum = by_stage[key.first];
        const auto known = sum.price_known && cost.price_known;
        sum.asked += cost.asked, sum.failed += cost.failed, sum.from_journal += cost.from_journal,
            sum.asked_again += cost.asked_again;
        sum.tokens_in += cost.tokens_in, sum.tokens_out += cost.tokens_out, sum.usd += cost.usd;
        sum.price_known = known;
    }
    for (const auto& [stage, sum] : by_stage) {
        figures.emplace_back(stage + ".requests", static_cast<double>(sum.asked));
        figures.emplace_back(stage + ".requests_failed", static_cast<double>(sum.failed));
        figures.emplace_back(stage + ".requests_from_journal", static_cast<double>(sum.from_journal));
        figures.emplace_back(stage + ".asked_again", static_cast<double>(sum.asked_again));
        figures.emplace_back(stage + ".tokens_in", static_cast<double>(sum.tokens_in));
        figures.emplace_back(stage + ".tokens_out", static_cast<double>(sum.tokens_out));
        if (sum.price_known) figures.emplace_back(stage + ".usd", sum.usd);
    }
}

void write_costs(const std::filesystem::path& file, const Costs& costs) {
    storage::publish_text(file, to_json(costs).dump(1) + "\n");
}

Costs read_costs(const std::filesystem::path& file) {
    if (!std::filesystem::exists(file)) return {};
    try {
        return from_json(read_json(file));
    } catch (const json::exception& error) {
        throw InputError(fmt::format("{}: no cost table ({})", file.string(), error.what()),
                         "remove it; it is written again by the next run");
    }
}

}  // namespace tg::asking
