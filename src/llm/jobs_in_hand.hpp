// The requests that the engine has in hand, each under its key, and those of them that have their reply and wait for
// `done` to be called. Owns them all. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>

#include "job.hpp"

namespace tg::llm {

class JobsInHand {
public:
    // A request whose key is not in hand; in the order of the calls.
    Job* open(Request&& request, AnswerCheck&& check, Done&& done, const Digest& key);
    std::uint64_t opened() const { return opened_; }  // so far
    // Where the same request is in hand, its answer serves this `done` too, which is taken; else false.
    bool join(const Digest& key, Done& done);

    void settle(Job* job) { settled_.push_back(job); }  // its reply is there
    void leave(Job* job);                               // settles it as left for the next run
    void leave_unsettled();

    bool any_settled() const { return !settled_.empty(); }
    // The first of them, no longer in hand; none where there is none.
    std::unique_ptr<Job> take_settled();

private:
    std::unordered_map<Digest, std::unique_ptr<Job>, DigestHash> jobs_;
    std::deque<Job*> settled_;
    std::uint64_t opened_ = 0;
};

}  // namespace tg::llm
