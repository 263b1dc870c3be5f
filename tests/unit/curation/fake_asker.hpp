// Answers from a function, delivered in an order drawn from a seed: what curation makes of them must not depend on it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/asking/asker.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::curation {

class FakeAsker final : public asking::Asker {
public:
    using Answer = std::function<std::string(const llm::Request&)>;
    explicit FakeAsker(Answer answer, std::uint64_t order = 1) : answer_(std::move(answer)), random_(order) {}

    void submit(llm::Request request, llm::AnswerCheck check, std::function<void(llm::Reply)> done) override {
        ++submitted[request.stage];
        keys.push_back(request.endpoint + "|" + request.stage + "|" + request.item + "|" + request.user);
        waiting_.push_back({std::move(request), std::move(check), std::move(done)});
    }

    llm::RunEnd run(const std::function<bool()>& feed) override {
        bool more = true;
        for (;;) {
            while (more && waiting_.size() < queued) more = feed();
            if (waiting_.empty()) return llm::RunEnd::finished;
            if (stop_after > 0 && delivered >= stop_after) {
                auto left = std::exchange(waiting_, {});
                for (auto& item : left) item.done({llm::Reply::Status::stopped, {}, {}, false});
                return llm::RunEnd::stop_requested;
            }
            std::swap(waiting_[random_.below(waiting_.size())], waiting_.back());
            auto item = std::move(waiting_.back());
            waiting_.pop_back();
            most_waiting = std::max(most_waiting, waiting_.size());
            ++delivered;
            const auto text = answer_(item.request);
            const auto problem = item.check(text);
            if (problem.empty()) item.done({llm::Reply::Status::answered, text, {}, false});
            else item.done({llm::Reply::Status::failed, text, problem, false});
        }
    }
    llm::EngineFigures figures() const override { return {}; }

    std::map<std::string, int> submitted;
    std::vector<std::string> keys;
    std::size_t queued = 16, most_waiting = 0;
    int stop_after = 0, delivered = 0;

private:
    struct Item {
        llm::Request request;
        llm::AnswerCheck check;
        std::function<void(llm::Reply)> done;
    };
    Answer answer_;
    RandomStream random_;
    std::vector<Item> waiting_;
};

}  // namespace tg::curation
