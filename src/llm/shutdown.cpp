#include "shutdown.hpp"

#include <utility>

namespace tg::llm {

bool Shutdown::begin(Reason reason, double now, std::exception_ptr failure) {
    if (!failure_) failure_ = std::move(failure);
    if (under_way_) return false;
    under_way_ = true;
    reason_ = reason;
    drain_until_ = now + drain_s_;
    return true;
}

RunEnd Shutdown::end() const {
    if (failure_) std::rethrow_exception(failure_);
    if (!under_way_) return RunEnd::finished;
    return reason_ == Reason::budget ? RunEnd::budget : RunEnd::stop_requested;
}

}  // namespace tg::llm
