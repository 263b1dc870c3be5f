#include "estimate.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "taskgalaxy/llm/tokens.hpp"

namespace tg::curation {
namespace {

struct StageLoad {
    std::string stage, endpoint;
    double requests = 0, in = 0, out = 0;
};

constexpr double path_tokens = 14, question_tokens = 30, answer_tokens = 25;  // of usual texts

std::vector<StageLoad> assumed(const CurationLoad& load, const CurateSettings& settings, const Prompts& prompts,
                               const asking::Endpoints& endpoints, const llm::ApiSettings& api) {
    const auto picture = [&](const std::string& endpoint) {
        const auto at = endpoints.find(endpoint);
        // Most pictures are 4:3 and larger than what is sent.
        return at == endpoints.end()
                   ? 0.0
                   : static_cast<double>(llm::image_tokens(at->second.image_tokens, at->second.image_detail,
                                                           api.image_longest_side, api.image_longest_side * 3 / 4));
    };
    const auto blocks = std::ceil(load.candidates / settings.refine.candidates_per_request);
    const auto with_types = load.images * (1 - load.none_rate);
    const auto samples = with_types * load.types_per_image;
    const auto refine_prompt = static_cast<double>(llm::text_tokens(prompts.refine({}))),
               generate_prompt = static_cast<double>(llm::text_tokens(prompts.generate({}))),
               judge_prompt = static_cast<double>(llm::text_tokens(prompts.judge("", "", "")));

    std::vector<StageLoad> shares;
    const auto refine = load.images * blocks;
    shares.push_back(
        {"refine", settings.refine.endpoint, refine,
         refine * (refine_prompt + picture(settings.refine.endpoint)) + load.images * load.candidates * path_tokens,
         refine * 4 + samples * path_tokens});
    shares.push_back({"generate", settings.generate.endpoint, with_types,
                      with_types * (generate_prompt + picture(settings.generate.endpoint)) + samples * path_tokens,
                      samples * (path_tokens + question_tokens + answer_tokens + 15)});
    for (const auto& judge : settings.screen.judges)
        shares.push_back({"screen", judge, samples,
                          samples * (judge_prompt + picture(judge) + path_tokens + question_tokens + answer_tokens),
                          samples * 2});
    return shares;
}

std::vector<StageLoad> from_pilot(const CurationLoad& load) {
    std::vector<StageLoad> shares;
    const auto scale = load.images / load.pilot_images;
    for (const auto& [key, expense] : *load.pilot)
        shares.push_back({key.first, key.second, scale * static_cast<double>(expense.asked),
                          scale * static_cast<double>(expense.tokens_in),
                          scale * static_cast<double>(expense.tokens_out)});
    return shares;
}

}  // namespace

std::vector<run::PlanLine> estimate_curation(const CurationLoad& load, const CurateSettings& settings,
                                             const Prompts& prompts, const asking::Endpoints& endpoints,
                                             const llm::ApiSettings& api) {
    const bool piloted = load.pilot && load.pilot_images > 0 && !load.pilot->empty();
    const auto shares = piloted ? from_pilot(load) : assumed(load, settings, prompts, endpoints, api);
    const std::string basis =
        piloted ? fmt::format("extrapolated from a pilot of {:.0f} images", load.pilot_images)
                : fmt::format(
                      "assuming {:.0f} % None and {:.1f} types an image; a pilot (refine.limit_items) measures them",
                      100 * load.none_rate, load.types_per_image);
    std::vector<run::PlanLine> lines{{"images to refine", load.images, "images", basis}};
    struct PerEndpoint {
        double requests = 0, tokens = 0;
    };
    std::map<std::string, PerEndpoint> totals;
    double usd = 0;
    bool price_known = true;
    for (const auto& share : shares) {
        const auto name = share.stage + " by " + share.endpoint;
        lines.push_back({name + ": requests", share.requests, "requests"});
        lines.push_back({name + ": tokens in", share.in, "tokens"});
        lines.push_back({name + ": tokens out", share.out, "tokens"});
        totals[share.endpoint].requests += share.requests;
        totals[share.endpoint].tokens += share.in + share.out;
        const auto at = endpoints.find(share.endpoint);
        const auto price =
            at == endpoints.end()
                ? -1.0
                : llm::dollars(at->second, {static_cast<std::int64_t>(share.in), static_cast<std::int64_t>(share.out)});
        if (price < 0) {
            price_known = false;
            lines.push_back({name + ": dollars", 0, "$", "price unknown: set price_in and price_out"});
        } else {
            usd += price;
            lines.push_back({name + ": dollars", price, "$"});
        }
    }
    lines.push_back({"dollars in all", usd, "$", price_known ? "" : "without the endpoints whose price is unknown"});
    double hours = 0;
    std::string slowest, unlimited;
    for (const auto& [name, total] : totals) {
        const auto at = endpoints.find(name);
        if (at == endpoints.end()) continue;
        const auto& endpoint = at->second;
        const auto by_requests =
            endpoint.requests_per_minute > 0 ? total.requests / endpoint.requests_per_minute / 60 : 0;
        const auto by_tokens = endpoint.tokens_per_minute > 0 ? total.tokens / endpoint.tokens_per_minute / 60 : 0;
        if (endpoint.requests_per_minute <= 0 && endpoint.tokens_per_minute <= 0)
            unlimited += (unlimited.empty() ? "" : ", ") + name;
        if (std::max(by_requests, by_tokens) > hours) hours = std::max(by_requests, by_tokens), slowest = name;
    }
    std::string note =
        slowest.empty() ? "no endpoint states a limit" : "set by " + slowest + " at its limit; the three steps overlap";
    if (!slowest.empty() && !unlimited.empty()) note += "; no limit stated for " + unlimited;
    lines.push_back({"hours", hours, "h", note});
    return lines;
}

}  // namespace tg::curation
