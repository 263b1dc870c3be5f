// Why the engine stops before its work is done, how long it still waits for what is in flight, and what run() ends
// with.
#pragma once

#include <exception>

#include "taskgalaxy/llm/engine.hpp"

namespace tg::llm {

class Shutdown {
public:
    enum class Reason { request, budget, failure };

    explicit Shutdown(double drain_s) : drain_s_(drain_s) {}

    bool under_way() const { return under_way_; }
    // The first reason counts, and the first failure is told; true where this was the first reason.
    bool begin(Reason reason, double now, std::exception_ptr failure = nullptr);
    bool drained_long_enough(double now) const { return under_way_ && now >= drain_until_; }
    // Throws the failure, if there was one.
    RunEnd end() const;

private:
    double drain_s_;
    bool under_way_ = false;
    Reason reason_{};
    double drain_until_ = 0;
    std::exception_ptr failure_;
};

}  // namespace tg::llm
