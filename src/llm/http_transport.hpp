// The transport to OpenAI-compatible servers: chat completions over HTTP, one server for each of an endpoint's urls.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "steady_wall_clock.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "transfers.hpp"
#include "transport.hpp"

namespace tg::llm {

class HttpTransport : public Transport {
public:
    // Reads the keys: throws EndpointError. Where there is one, the process writes no core file from now on, as that
    // would hold it.
    HttpTransport(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api);

    std::vector<std::string> servers(const std::string& endpoint) const override;
    std::shared_ptr<const Message> prepare(const Request& request, const ChatImage* image, int asking) const override;
    void start(Job* job, const std::string& endpoint, std::size_t server,
               std::shared_ptr<const Message> message) override;
    std::vector<Arrival> wait(double seconds) override;
    void wake() override { transfers_.wake(); }
    std::size_t in_flight() const override { return transfers_.in_flight(); }
    std::vector<Job*> cancel_all() override;

private:
    struct Peer {
        EndpointSettings settings;
        std::vector<std::shared_ptr<const Route>> routes;  // one a url
    };
    std::map<std::string, Peer> peers_;
    SteadyWallClock clock_;
    Transfers transfers_;
};

// The key as settings name it; empty where they name none. Throws EndpointError: variable not set, file missing or
// readable by others.
std::string read_key(const std::string& endpoint, const EndpointSettings& settings);

}  // namespace tg::llm
