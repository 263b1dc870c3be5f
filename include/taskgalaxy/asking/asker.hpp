// The one thing curation needs of a request engine, so that its logic is tested with answers that come in any order.
#pragma once

#include <functional>
#include <utility>

#include "taskgalaxy/llm/chat.hpp"

namespace tg {

class Asker {
public:
    virtual ~Asker() = default;
    virtual void submit(ChatRequest request, AnswerCheck check, std::function<void(ChatReply)> done) = 0;
    virtual RunEnd run(const std::function<bool()>& feed) = 0;
    virtual EngineFigures figures() const = 0;
};

class EngineAsker final : public Asker {
public:
    template <class... Args> explicit EngineAsker(Args&&... args) : engine_(std::forward<Args>(args)...) {}
    void submit(ChatRequest request, AnswerCheck check, std::function<void(ChatReply)> done) override { engine_.submit(std::move(request), std::move(check), std::move(done)); }
    RunEnd run(const std::function<bool()>& feed) override { return engine_.run(feed); }
    EngineFigures figures() const override { return engine_.figures(); }

private:
    ChatEngine engine_;
};

}  // namespace tg
