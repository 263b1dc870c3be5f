#include "jobs_in_hand.hpp"

#include <gtest/gtest.h>

namespace tg::llm {
namespace {

Job* open(
    JobsInHand& jobs, const std::string& name, Done done = [](Reply) {}) {
    return jobs.open(Request{}, {}, std::move(done), digest_of(name));
}

}  // namespace

TEST(jobs_in_hand, number_requests_as_they_come_and_let_the_same_one_join) {
    JobsInHand jobs;
    EXPECT_EQ(open(jobs, "a")->order, 0u);
    Job* second = open(jobs, "b");
    EXPECT_EQ(second->order, 1u);
    Done done = [](Reply) {};
    EXPECT_FALSE(jobs.join(digest_of("c"), done));
    EXPECT_TRUE(done) << "not taken";
    EXPECT_TRUE(jobs.join(digest_of("b"), done));
    EXPECT_EQ(second->done.size(), 2u);
    EXPECT_EQ(jobs.opened(), 2u);
}

TEST(jobs_in_hand, give_back_what_is_settled_in_that_order_and_forget_it) {
    JobsInHand jobs;
    Job *a = open(jobs, "a"), *b = open(jobs, "b");
    EXPECT_FALSE(jobs.any_settled());
    EXPECT_EQ(jobs.take_settled(), nullptr);
    b->reply.status = Reply::Status::answered;
    jobs.settle(b);
    jobs.leave(a);
    EXPECT_TRUE(jobs.any_settled());
    EXPECT_EQ(jobs.take_settled()->key, digest_of("b"));
    Done done = [](Reply) {};
    EXPECT_FALSE(jobs.join(digest_of("b"), done)) << "it may be asked anew";
    EXPECT_EQ(jobs.take_settled()->reply.status, Reply::Status::stopped);
    EXPECT_FALSE(jobs.any_settled());
}

TEST(jobs_in_hand, leave_to_the_next_run_what_has_no_reply) {
    JobsInHand jobs;
    Job* answered = open(jobs, "a");
    open(jobs, "b");
    answered->reply.status = Reply::Status::answered;
    jobs.settle(answered);
    jobs.leave_unsettled();
    EXPECT_EQ(jobs.take_settled()->reply.status, Reply::Status::answered);
    const auto left = jobs.take_settled();
    EXPECT_EQ(left->key, digest_of("b"));
    EXPECT_EQ(left->reply.status, Reply::Status::stopped);
    EXPECT_EQ(jobs.take_settled(), nullptr);
}

}  // namespace tg::llm
