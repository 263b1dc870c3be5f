// Ends the job when one collective makes no progress for too long: a dead node or a stalled file system must not hold a
// thousand ranks for a day. One thread a process; a collective marks its beginning and end.
#pragma once

#include <chrono>

namespace tg::parallel {

class Watchdog {
public:
    static void set_limit(std::chrono::seconds limit);

    // In scope while a collective runs; `name` must be a literal.
    class Watch {
    public:
        explicit Watch(const char* name);
        ~Watch();
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
    };
};

}  // namespace tg::parallel
