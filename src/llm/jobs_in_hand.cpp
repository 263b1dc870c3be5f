#include "jobs_in_hand.hpp"

#include <unordered_set>
#include <utility>

namespace tg::llm {

Job* JobsInHand::open(Request&& request, AnswerCheck&& check, Done&& done, const Digest& key) {
    auto job = std::make_unique<Job>();
    job->request = std::move(request);
    job->check = std::move(check);
    job->done.push_back(std::move(done));
    job->key = key;
    job->order = opened_++;
    return jobs_.emplace(key, std::move(job)).first->second.get();
}

bool JobsInHand::join(const Digest& key, Done& done) {
    const auto same = jobs_.find(key);
    if (same == jobs_.end()) return false;
    same->second->done.push_back(std::move(done));
    return true;
}

void JobsInHand::leave(Job* job) {
    job->reply = {Reply::Status::stopped, {}, {}, false};
    settle(job);
}

void JobsInHand::leave_unsettled() {
    const std::unordered_set<const Job*> settled(settled_.begin(), settled_.end());
    for (const auto& [key, job] : jobs_)
        if (!settled.contains(job.get())) leave(job.get());
}

std::unique_ptr<Job> JobsInHand::take_settled() {
    if (settled_.empty()) return nullptr;
    auto taken = jobs_.extract(settled_.front()->key);
    settled_.pop_front();
    return std::move(taken.mapped());
}

}  // namespace tg::llm
