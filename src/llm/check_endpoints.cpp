#include <algorithm>
#include <fmt/format.h>

#include "http_transport.hpp"
#include "steady_wall_clock.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/llm/engine.hpp"

namespace tg::llm {

void check_endpoints(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api) {
    api.check();
    Transfers transfers(Transfers::Options{api.ca_bundle, api.http2});
    const double now = SteadyWallClock().now();
    for (const auto& [name, settings] : endpoints) {
        settings.check(name);
        const auto key = read_key(name, settings);
        std::vector<std::string> problems;
        for (auto url : settings.urls) {
            while (url.ends_with('/')) url.pop_back();
            transfers.start(std::make_shared<Route>(
                                url + "/models", key,
                                Route::Timeouts{settings.connect_timeout_s, 10, std::min(settings.timeout_s, 20.0)}),
                            {}, nullptr);
            std::vector<Transfers::Finished> finished;
            while (finished.empty()) finished = transfers.wait(1);
            const auto& answer = finished.front().answer;
            if (answer.problem == 0 && answer.status < 400) {
                if (answer.body.find("\"data\"") != std::string::npos &&
                    answer.body.find('"' + settings.model + '"') == std::string::npos)
                    log::warn("endpoint {}: {} does not list the model '{}'", name, url, settings.model);
                continue;
            }
            if (answer.problem == 0 && answer.status != 401 && answer.status != 403 && answer.status != 407)
                continue;  // no list of models, but a server
            const auto outcome = outcome_of(answer, now);
            auto line = fmt::format("endpoint {} at {}: {} ({})", name, url, outcome.kind, outcome.detail);
            line +=
                "; " + (outcome.fix.empty() ? "check that the server runs and that this node reaches it" : outcome.fix);
            if (outcome.fate == Fate::stop_endpoint) throw EndpointError(line);
            problems.push_back(std::move(line));
        }
        if (problems.size() == settings.urls.size()) throw EndpointError(problems.front());
        for (const auto& line : problems) log::warn("{}", line);
    }
}

}  // namespace tg::llm
