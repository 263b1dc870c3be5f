// How the stand-in server keeps a limit: second by second, as vendors do, not in a bucket of a whole minute.
#pragma once

#include <cstdint>

namespace tg::simulator {

// Each second grants a sixtieth of the minute's limit. What a second leaves unused is lost (but for one request where a
// second's grant is no whole number); what is overdrawn, as a request's tokens may, is owed by the next.
class SecondLimit {
public:
    explicit SecondLimit(double per_minute) : grant_(per_minute / 60) {}

    bool limited() const { return grant_ > 0; }
    // Whether another request may pass at `now` (seconds on any clock).
    bool open(double now);
    void take(double amount) { left_ -= amount; }
    // Seconds until open() may be true again, at `now`.
    double wait_s(double now) const;

    // As the vendors' headers say it: per minute, what is left, and in how many seconds what is used comes back.
    double limit() const { return grant_ * 60; }
    double remaining() const;
    double reset_s() const;

private:
    double grant_;
    double left_ = 0;
    std::int64_t second_ = -1;
};

}  // namespace tg::simulator
