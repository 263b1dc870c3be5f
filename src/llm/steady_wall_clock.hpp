// The clock that pacing is told the time by; it is read by the thread that runs the engine.
#pragma once

#include <chrono>

namespace tg::llm {

// Seconds since 1970 that never step back: API ranks of one job share the grid of sending times that this clock gives.
class SteadyWallClock {
public:
    double now() const {
        return wall_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - steady_).count();
    }

private:
    std::chrono::steady_clock::time_point steady_ = std::chrono::steady_clock::now();
    double wall_ = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
};

}  // namespace tg::llm
