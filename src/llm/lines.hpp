// The endpoints that an engine asks, by name, each with the requests that wait for it. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "endpoint.hpp"
#include "request_queue.hpp"
#include "transport.hpp"

namespace tg::llm {

struct Line {
    Endpoint endpoint;
    RequestQueue queue;
};

class Lines {
public:
    // `endpoints` and `api` must outlive this.
    Lines(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api, const Transport& transport,
          int rank, int ranks, double now);

    // Throws UsageError, naming those that there are, where there is no such endpoint; `stage` asks for it.
    Line& of(const std::string& endpoint, const std::string& stage);
    auto begin() { return lines_.begin(); }  // pairs of name and Line
    auto end() { return lines_.end(); }

    // Over all lines.
    std::size_t queued() const;
    std::size_t preparing() const;
    std::vector<Job*> clear();  // as RequestQueue's
    std::map<std::string, EndpointState> states(double now) const;

private:
    std::map<std::string, Line> lines_;
};

}  // namespace tg::llm
