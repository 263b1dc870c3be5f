#include "request_queue.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <vector>

#include "taskgalaxy/core/random.hpp"

namespace tg::llm {
namespace {

constexpr std::size_t plenty = 1000;

std::vector<Job> jobs_with(const std::vector<int>& priorities) {
    std::vector<Job> jobs(priorities.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        jobs[i].order = i;
        jobs[i].request.priority = priorities[i];
    }
    return jobs;
}

std::vector<std::uint64_t> taken(RequestQueue& queue) {
    std::vector<std::uint64_t> orders;
    while (queue.first_ready()) orders.push_back(queue.take()->order);
    return orders;
}

}  // namespace

TEST(request_queue, prepares_and_hands_out_by_priority_and_then_as_given) {
    auto jobs = jobs_with({0, 2, 1, 2, 0, 1});
    RequestQueue queue;
    for (auto& job : jobs) queue.add(&job);
    std::vector<std::uint64_t> prepared;
    std::vector<Job*> being_prepared;
    while (Job* job = queue.prepare_next(plenty)) {
        prepared.push_back(job->order);
        being_prepared.push_back(job);
    }
    const std::vector<std::uint64_t> by_priority{1, 3, 2, 5, 0, 4};
    EXPECT_EQ(prepared, by_priority);
    for (Job* job : {&jobs[4], &jobs[5], &jobs[0], &jobs[3], &jobs[1], &jobs[2]}) queue.prepared(job);
    EXPECT_EQ(taken(queue), by_priority) << "in whatever order the encoders were done";
    EXPECT_EQ(queue.size(), 0u);
}

TEST(request_queue, prepares_no_more_than_is_worth_it_and_counts_what_is_ready) {
    auto jobs = jobs_with({0, 0, 0, 0});
    RequestQueue queue;
    for (auto& job : jobs) queue.add(&job);
    Job* first = queue.prepare_next(2);
    ASSERT_NE(first, nullptr);
    ASSERT_NE(queue.prepare_next(2), nullptr);
    EXPECT_EQ(queue.prepare_next(2), nullptr) << "two are being prepared";
    queue.prepared(first);
    EXPECT_EQ(queue.prepare_next(2), nullptr) << "one is being prepared, one is ready";
    EXPECT_EQ(queue.take(), first);
    EXPECT_NE(queue.prepare_next(2), nullptr);
    EXPECT_EQ(queue.preparing(), 2u);
    EXPECT_EQ(queue.size(), 3u);
    queue.unprepared();
    EXPECT_EQ(queue.size(), 2u) << "what could not be prepared has left";
}

TEST(request_queue, makes_ready_what_goes_later_when_its_time_has_come_and_not_before) {
    auto jobs = jobs_with({0, 5, 0});
    RequestQueue queue;
    EXPECT_EQ(queue.next_later(), never);
    queue.add_later(&jobs[2], 30);
    queue.add_later(&jobs[0], 10);
    queue.add_later(&jobs[1], 20);
    EXPECT_EQ(queue.next_later(), 10);
    queue.advance(9.999);
    EXPECT_EQ(queue.first_ready(), nullptr);
    queue.advance(10);
    EXPECT_EQ(queue.first_ready(), &jobs[0]);
    EXPECT_EQ(queue.next_later(), 20);
    queue.advance(100);
    EXPECT_EQ(taken(queue), (std::vector<std::uint64_t>{1, 0, 2})) << "by priority, not by the time they waited for";
    EXPECT_EQ(queue.next_later(), never);
}

TEST(request_queue, gives_up_everything_but_what_is_being_prepared) {
    auto jobs = jobs_with({9, 0, 0, 0});
    RequestQueue queue;
    queue.add(&jobs[0]);
    queue.add(&jobs[1]);
    Job* preparing = queue.prepare_next(plenty);
    queue.add_later(&jobs[2], 5);
    queue.add_later(&jobs[3], 50);
    queue.advance(5);
    const auto left = queue.clear();
    EXPECT_EQ(std::set<Job*>(left.begin(), left.end()), (std::set<Job*>{&jobs[1], &jobs[2], &jobs[3]}));
    EXPECT_EQ(left.size(), 3u);
    EXPECT_EQ(queue.size(), 1u);
    queue.prepared(preparing);
    EXPECT_EQ(queue.take(), &jobs[0]);
}

// Random walks over all that can happen to a request: none is lost or handed out twice, and the best is always first.
TEST(request_queue, loses_nothing_and_keeps_its_order_whatever_happens) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        RandomStream random(seed);
        std::vector<int> priorities(40);
        for (auto& priority : priorities) priority = static_cast<int>(random.below(4));
        auto jobs = jobs_with(priorities);
        RequestQueue queue;
        for (auto& job : jobs) queue.add(&job);
        std::vector<Job*> preparing;
        std::set<Job*> ready, done;
        std::vector<std::pair<double, Job*>> later;
        double now = 0;
        while (done.size() < jobs.size()) {
            now += random.unit();
            queue.advance(now);
            for (const auto& [at, job] : later)
                if (at <= now) ready.insert(job);
            std::erase_if(later, [&](const auto& entry) { return entry.first <= now; });
            switch (random.below(3)) {
                case 0:
                    if (Job* job = queue.prepare_next(6)) preparing.push_back(job);
                    break;
                case 1:
                    if (preparing.empty()) break;
                    std::swap(preparing[random.below(preparing.size())], preparing.back());
                    queue.prepared(preparing.back());
                    ready.insert(preparing.back());
                    preparing.pop_back();
                    break;
                case 2:
                    if (ready.empty()) break;
                    Job* job = queue.take();
                    const auto better = [](const Job* a, const Job* b) {
                        return std::pair(-a->request.priority, a->order) < std::pair(-b->request.priority, b->order);
                    };
                    EXPECT_EQ(job, *std::min_element(ready.begin(), ready.end(), better));
                    ASSERT_EQ(ready.erase(job), 1u);
                    if (random.below(3) == 0) {
                        later.emplace_back(now + 3 * random.unit(), job);
                        queue.add_later(job, later.back().first);
                    } else {
                        ASSERT_TRUE(done.insert(job).second);
                    }
            }
            ASSERT_EQ(queue.preparing(), preparing.size());
            ASSERT_EQ(queue.size(), jobs.size() - done.size());
        }
    }
}

}  // namespace tg::llm
