#include "request_queue.hpp"

#include <utility>

namespace tg::llm {

bool RequestQueue::LowerPriority::operator()(const Job* a, const Job* b) const {
    return std::pair(a->request.priority, b->order) < std::pair(b->request.priority, a->order);
}

Job* RequestQueue::taken(Ordered& jobs) {
    Job* job = jobs.top();
    jobs.pop();
    return job;
}

Job* RequestQueue::prepare_next(std::size_t worth) {
    if (waiting_.empty() || preparing_ + ready_.size() >= worth) return nullptr;
    ++preparing_;
    return taken(waiting_);
}

void RequestQueue::prepared(Job* job) {
    --preparing_;
    ready_.push(job);
}

void RequestQueue::advance(double now) {
    for (; !later_.empty() && later_.top().at <= now; later_.pop()) ready_.push(later_.top().job);
}

Job* RequestQueue::take() { return taken(ready_); }

double RequestQueue::next_later() const { return later_.empty() ? never : later_.top().at; }

std::vector<Job*> RequestQueue::clear() {
    std::vector<Job*> all;
    while (!waiting_.empty()) all.push_back(taken(waiting_));
    while (!ready_.empty()) all.push_back(taken(ready_));
    for (; !later_.empty(); later_.pop()) all.push_back(later_.top().job);
    return all;
}

}  // namespace tg::llm
