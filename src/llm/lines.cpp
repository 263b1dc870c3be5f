#include "lines.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {

Lines::Lines(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
             const Transport& transport, int rank, int ranks, double now) {
    for (const auto& [name, settings] : endpoints)
        lines_.emplace(name, Line{Endpoint(name, settings, api, transport.servers(name), rank, ranks, now), {}});
}

Line& Lines::of(const std::string& endpoint, const std::string& stage) {
    if (const auto line = lines_.find(endpoint); line != lines_.end()) return line->second;
    std::vector<std::string> names;
    for (const auto& [name, unused] : lines_) names.push_back(name);
    throw UsageError(fmt::format("stage {}: there is no endpoint '{}'", stage, endpoint),
                     names.empty() ? "add its [endpoint.NAME] section" : "known are " + join(names, ", "));
}

std::size_t Lines::queued() const {
    std::size_t sum = 0;
    for (const auto& [name, line] : lines_) sum += line.queue.size();
    return sum;
}

std::size_t Lines::preparing() const {
    std::size_t sum = 0;
    for (const auto& [name, line] : lines_) sum += line.queue.preparing();
    return sum;
}

std::vector<Job*> Lines::clear() {
    std::vector<Job*> jobs;
    for (auto& [name, line] : lines_) {
        const auto left = line.queue.clear();
        jobs.insert(jobs.end(), left.begin(), left.end());
    }
    return jobs;
}

std::map<std::string, EndpointState> Lines::states(double now) const {
    std::map<std::string, EndpointState> states;
    for (const auto& [name, line] : lines_) states[name] = line.endpoint.state(now);
    return states;
}

}  // namespace tg::llm
