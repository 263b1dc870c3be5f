// HTTP exchanges over one libcurl multi handle: kept connections, reused easy handles, HTTP/2 streams where an https
// server offers them, proxies by the usual environment variables. One thread drives it; wake() may come from any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tg::llm {

// Where and how to send: made once a URL, shared by its requests. Holds the key, so it is never printed.
class Route {
public:
    struct Timeouts {
        double connect_s, silence_s, total_s;
    };
    // `key` may be empty: no Authorization header is then sent.
    Route(std::string url, std::string_view key, Timeouts timeouts);
    ~Route();
    Route(const Route&) = delete;
    Route& operator=(const Route&) = delete;
    const std::string& url() const { return url_; }
    const Timeouts& timeouts() const { return timeouts_; }

private:
    friend class Transfers;
    std::string url_, key_;
    Timeouts timeouts_;
    void* headers_ = nullptr;  // curl_slist
};

// What came of one exchange; a key that the server repeats (some do, in their refusals) is taken out of it. `problem`
// is a CURLcode (0: an HTTP answer came in whole); headers of interest by lower-case name.
struct HttpOutcome {
    int problem = 0;
    std::string problem_text;
    long status = 0;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    double seconds = 0;
    std::string_view header(std::string_view lower_case_name) const;
};

class Transfers {
public:
    struct Options {
        std::filesystem::path ca_bundle{};
        bool http2 = true;
    };
    explicit Transfers(const Options& options);
    ~Transfers();

    // Begins POST of `body`, or GET where `body` is empty. `tag` comes back with the outcome.
    void start(std::shared_ptr<const Route> route, std::string body, void* tag);

    struct Finished {
        void* tag;
        HttpOutcome outcome;
        std::string body;  // the request's, given back for a retry
    };
    // Works for at most `seconds`, returns as soon as something finished or wake() was called.
    std::vector<Finished> wait(double seconds);
    void wake();
    std::size_t in_flight() const;
    // Drops everything in flight; the tags come back.
    std::vector<void*> cancel_all();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::llm
