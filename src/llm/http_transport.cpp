#include "http_transport.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "request_body.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

struct HttpMessage : Message {
    explicit HttpMessage(std::string text) : body(std::move(text)) {}
    std::string body;
};

std::string completions_url(std::string base) {
    while (base.ends_with('/')) base.pop_back();
    return base + "/chat/completions";
}

void write_no_core_file() {
    rlimit none{};
    getrlimit(RLIMIT_CORE, &none);
    none.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &none);
}

}  // namespace

std::string read_key(const std::string& endpoint, const EndpointSettings& settings) {
    const auto where = fmt::format("[endpoint.{}]", endpoint);
    std::string key;
    if (!settings.api_key_env.empty()) {
        const char* value = std::getenv(settings.api_key_env.c_str());
        if (!value || !*value)
            throw EndpointError(
                fmt::format("{}: the environment variable {} holds no key", where, settings.api_key_env),
                "export it before the program starts (and let srun or mpirun pass it on)");
        key = trimmed(value);
    } else if (!settings.api_key_file.empty()) {
        struct stat info {};
        if (::stat(settings.api_key_file.c_str(), &info) != 0)
            throw EndpointError(
                fmt::format("{}: the key file {} cannot be read", where, settings.api_key_file.string()),
                "correct api_key_file");
        if (info.st_mode & (S_IRWXG | S_IRWXO))
            throw EndpointError(
                fmt::format("{}: the key file {} may be read by others", where, settings.api_key_file.string()),
                "chmod 600 it");
        key = trimmed(read_text_file(settings.api_key_file));
    }
    if (std::any_of(key.begin(), key.end(), [](unsigned char c) { return c <= ' ' || c > '~'; }))
        throw EndpointError(where + ": the key holds blanks, line ends or other characters that no key has",
                            "check where it was pasted from");
    return key;
}

HttpTransport::HttpTransport(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api)
    : transfers_(Transfers::Options{api.ca_bundle, api.http2}) {
    bool any_key = false;
    for (const auto& [name, settings] : endpoints) {
        Peer peer{settings, {}};
        const auto key = read_key(name, settings);
        any_key |= !key.empty();
        for (const auto& url : settings.urls)
            peer.routes.push_back(std::make_shared<Route>(
                completions_url(url), key,
                Route::Timeouts{settings.connect_timeout_s, settings.silence_timeout_s, settings.timeout_s}));
        peers_.emplace(name, std::move(peer));
    }
    if (any_key) write_no_core_file();
}

std::vector<std::string> HttpTransport::servers(const std::string& endpoint) const {
    std::vector<std::string> urls;
    for (const auto& route : peers_.at(endpoint).routes) urls.push_back(route->url());
    return urls;
}

std::shared_ptr<const Message> HttpTransport::prepare(const Request& request, const ChatImage* image,
                                                      int asking) const {
    return std::make_shared<HttpMessage>(request_body(peers_.at(request.endpoint).settings, request, image, asking));
}

void HttpTransport::start(Job* job, const std::string& endpoint, std::size_t server,
                          std::shared_ptr<const Message> message) {
    const auto& body = static_cast<const HttpMessage&>(*message).body;
    transfers_.start(peers_.at(endpoint).routes.at(server), {std::move(message), &body}, job);
}

std::vector<Transport::Arrival> HttpTransport::wait(double seconds) {
    std::vector<Arrival> arrivals;
    for (const auto& finished : transfers_.wait(seconds))
        arrivals.push_back({static_cast<Job*>(finished.tag), outcome_of(finished.answer, clock_.now())});
    return arrivals;
}

std::vector<Job*> HttpTransport::cancel_all() {
    std::vector<Job*> jobs;
    for (void* tag : transfers_.cancel_all()) jobs.push_back(static_cast<Job*>(tag));
    return jobs;
}

}  // namespace tg::llm
