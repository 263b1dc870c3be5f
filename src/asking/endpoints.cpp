#include "taskgalaxy/asking/endpoints.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/llm/engine.hpp"

namespace tg::asking {

void require_endpoint(const Endpoints& endpoints, const std::string& name, const std::string& setting) {
    if (endpoints.contains(name)) return;
    std::vector<std::string> names;
    for (const auto& [known, settings] : endpoints) names.push_back(known);
    throw UsageError(fmt::format("{} names the endpoint '{}', which has no section [endpoint.{}]", setting, name, name),
                     names.empty() ? "no endpoint is defined" : "defined are: " + join(names, ", "));
}

Endpoints chosen_endpoints(Endpoints endpoints, const llm::ApiSettings& api, const std::vector<std::string>& names) {
    if (!api.endpoints_file.empty()) llm::read_endpoints_file(api.endpoints_file, endpoints);
    Endpoints chosen;
    for (const auto& name : names) {
        require_endpoint(endpoints, name, "the job");
        endpoints.at(name).check(name);
        chosen.emplace(name, endpoints.at(name));
    }
    return chosen;
}

void check_reachable(const Endpoints& endpoints, const llm::ApiSettings& api, const std::vector<std::string>& names) {
    const auto chosen = chosen_endpoints(endpoints, api, names);
    bool asks_from_root = true;
    if (const auto wish = trimmed(api.ranks); wish.starts_with('+')) {
        const auto ranks = split(wish.substr(1), ' ');
        asks_from_root = std::find(ranks.begin(), ranks.end(), "0") != ranks.end();
    }
    if (asks_from_root) llm::check_endpoints(chosen, api);
}

void add_endpoint(DigestBuilder& inputs, const Endpoints& endpoints, const std::string& name) {
    inputs.add(name);
    const auto at = endpoints.find(name);
    if (at == endpoints.end()) return;  // check() says so in better words
    auto settings = at->second;
    inputs.add(result_settings(settings));
}

}  // namespace tg::asking
