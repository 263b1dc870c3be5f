// A transport without sockets: a script answers, in the order of sending, on the engine's own thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "transport.hpp"

namespace tg::test {

struct MemoryMessage : llm::Message {
    MemoryMessage(llm::Request r, int a) : request(std::move(r)), asking(a) {}
    llm::Request request;
    int asking;
};

inline llm::Outcome answered(std::string text, std::int64_t tokens_in = 10, std::int64_t tokens_out = 5) {
    llm::Outcome o;
    o.fate = llm::Fate::answered;
    o.text = std::move(text);
    o.paid = true;
    o.tokens_in = tokens_in, o.tokens_out = tokens_out;
    return o;
}

inline llm::Outcome came_to(llm::Fate fate, std::string_view kind = "trouble", std::string detail = "of the script") {
    llm::Outcome o;
    o.fate = fate;
    o.kind = kind;
    o.detail = std::move(detail);
    return o;
}

class MemoryTransport : public llm::Transport {
public:
    // One sending: `sending` counts those of its item, from 0.
    struct Call {
        const llm::Request& request;
        int asking, sending;
        std::size_t server;
    };
    using Script = std::function<llm::Outcome(const Call&)>;

    explicit MemoryTransport(Script script, std::vector<std::string> servers = {"memory"})
        : script_(std::move(script)), servers_(std::move(servers)) {}

    std::vector<std::string> servers(const std::string&) const override { return servers_; }

    std::shared_ptr<const llm::Message> prepare(const llm::Request& request, const llm::ChatImage*,
                                                int asking) const override {
        return std::make_shared<MemoryMessage>(request, asking);
    }

    void start(llm::Job* job, const std::string&, std::size_t server,
               std::shared_ptr<const llm::Message> message) override {
        const auto& sent = static_cast<const MemoryMessage&>(*message);
        in_flight_.push_back({job, script_({sent.request, sent.asking, sendings_[sent.request.item]++, server})});
        ++started;
        most_in_flight = std::max(most_in_flight, in_flight_.size());
    }

    std::vector<Arrival> wait(double seconds) override {
        if (!silent && !in_flight_.empty()) {
            std::vector<Arrival> arrived{std::move(in_flight_.front())};
            in_flight_.pop_front();
            return arrived;
        }
        std::unique_lock lock(mutex_);
        woken_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return std::exchange(wake_, false); });
        return {};
    }

    void wake() override {
        const std::lock_guard lock(mutex_);
        wake_ = true;
        woken_.notify_one();
    }

    std::size_t in_flight() const override { return in_flight_.size(); }

    std::vector<llm::Job*> cancel_all() override {
        std::vector<llm::Job*> jobs;
        for (const auto& arrival : std::exchange(in_flight_, {})) jobs.push_back(arrival.job);
        return jobs;
    }

    bool silent = false;  // what is in flight stays there
    int started = 0;
    std::size_t most_in_flight = 0;

private:
    Script script_;
    std::vector<std::string> servers_;
    std::map<std::string, int> sendings_;
    std::deque<Arrival> in_flight_;
    std::mutex mutex_;
    std::condition_variable woken_;
    bool wake_ = false;
};

}  // namespace tg::test
