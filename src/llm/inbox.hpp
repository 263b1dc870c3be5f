// What other threads hand to the engine's thread: requests that the encoders prepared, and those whose end is on disk.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "job.hpp"

namespace tg::llm {

class Inbox {
public:
    // `wake` makes the engine's thread look in; it is called by the thread that brings the first.
    explicit Inbox(std::function<void()> wake) : wake_(std::move(wake)) {}

    struct Content {
        std::vector<Job*> prepared, durable;
    };
    void put_prepared(Job* job) { put(&Content::prepared, job); }
    void put_durable(Job* job) { put(&Content::durable, job); }

    Content take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(content_, {});
    }

private:
    void put(std::vector<Job*> Content::*list, Job* job) {
        const std::lock_guard lock(mutex_);
        const bool first = content_.prepared.empty() && content_.durable.empty();
        (content_.*list).push_back(job);
        if (first) wake_();
    }

    std::function<void()> wake_;
    std::mutex mutex_;
    Content content_;
};

}  // namespace tg::llm
