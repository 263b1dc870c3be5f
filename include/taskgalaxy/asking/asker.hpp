// The one thing curation needs of a request engine, so that its logic is tested with answers that come in any order.
#pragma once

#include <functional>
#include <utility>

#include "taskgalaxy/llm/chat.hpp"

namespace tg::asking {

class Asker {
public:
    virtual ~Asker() = default;
    virtual void submit(llm::Request request, llm::AnswerCheck check, std::function<void(llm::Reply)> done) = 0;
    virtual llm::RunEnd run(const std::function<bool()>& feed) = 0;
    virtual llm::EngineFigures figures() const = 0;
};

class EngineAsker final : public Asker {
public:
    template <class... Args> explicit EngineAsker(Args&&... args) : engine_(std::forward<Args>(args)...) {}
    void submit(llm::Request request, llm::AnswerCheck check, std::function<void(llm::Reply)> done) override {
        engine_.submit(std::move(request), std::move(check), std::move(done));
    }
    llm::RunEnd run(const std::function<bool()>& feed) override { return engine_.run(feed); }
    llm::EngineFigures figures() const override { return engine_.figures(); }

private:
    llm::Engine engine_;
};

}  // namespace tg::asking
