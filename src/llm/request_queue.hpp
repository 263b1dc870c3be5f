// What waits to be sent to one endpoint, and in which order: higher priority first, then as given. A request waits
// until it is prepared (its picture read and encoded, which only those soon to be sent are worth), is then ready, and
// where it must be sent again it goes later, at a time. Times are arguments, in the caller's seconds. One thread.
#pragma once

#include <cstddef>
#include <queue>
#include <vector>

#include "job.hpp"
#include "pacing.hpp"

namespace tg::llm {

class RequestQueue {
public:
    void add(Job* job) { waiting_.push(job); }

    // The next to be prepared while fewer than `worth` are being prepared or ready; else none. It counts as being
    // prepared until prepared() or unprepared().
    Job* prepare_next(std::size_t worth);
    void prepared(Job* job);
    void unprepared() { --preparing_; }  // it will not be sent: it left the queue

    void add_later(Job* job, double at) { later_.push({at, job}); }
    // Those whose time has come are ready.
    void advance(double now);

    // The first of those that are ready, or none; take() takes it out.
    Job* first_ready() const { return ready_.empty() ? nullptr : ready_.top(); }
    Job* take();

    double next_later() const;  // when the next of those that go later may go; `never`: there is none
    std::size_t preparing() const { return preparing_; }
    std::size_t size() const { return waiting_.size() + preparing_ + ready_.size() + later_.size(); }

    // Takes out all but what is being prepared.
    std::vector<Job*> clear();

private:
    struct LowerPriority {
        bool operator()(const Job* a, const Job* b) const;
    };
    struct Later {
        double at;
        Job* job;
        bool operator<(const Later& other) const { return at > other.at; }  // the earliest on top
    };
    using Ordered = std::priority_queue<Job*, std::vector<Job*>, LowerPriority>;
    static Job* taken(Ordered& jobs);

    Ordered waiting_, ready_;
    std::priority_queue<Later> later_;
    std::size_t preparing_ = 0;
};

}  // namespace tg::llm
