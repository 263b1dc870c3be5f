// HTTP exchanges over one libcurl multi handle: kept connections, reused easy handles, HTTP/2 streams where an https
// server offers them, proxies by the usual environment variables. One thread drives it; wake() may come from any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http_answer.hpp"

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

class Transfers {
public:
    struct Options {
        std::filesystem::path ca_bundle{};
        bool http2 = true;
    };
    explicit Transfers(const Options& options);
    ~Transfers();

    // Begins POST of `body`, or GET where there is none. `tag` comes back with the answer.
    void start(std::shared_ptr<const Route> route, std::shared_ptr<const std::string> body, void* tag);

    struct Finished {
        void* tag;
        HttpAnswer answer;
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
