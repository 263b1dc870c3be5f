// The one thing a stage needs of a request engine, so that its logic is tested with answers that come in any order.
#pragma once

#include <functional>
#include <utility>

#include "taskgalaxy/llm/engine.hpp"

namespace tg::asking {

class Asker {
public:
    virtual ~Asker() = default;
    virtual void submit(llm::Request request, llm::AnswerCheck check, std::function<void(llm::Reply)> done) = 0;
    virtual llm::RunEnd run(const std::function<bool()>& feed) = 0;
    virtual llm::EngineFigures figures() const = 0;
};

}  // namespace tg::asking
