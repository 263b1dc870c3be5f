#include "company.hpp"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "taskgalaxy/core/error.hpp"

namespace tg::asking {
namespace {

using testing::ElementsAre;

const std::vector<std::string> hosts{"n7", "n7", "n2", "n2", "n9"};

std::vector<int> asking_of(const std::string& wish) {
    llm::ApiSettings api;
    api.ranks = wish;
    return asking_ranks(hosts, api);
}

}  // namespace

TEST(asking_ranks, are_the_first_so_many_for_a_count) {
    EXPECT_THAT(asking_of("1"), ElementsAre(0));
    EXPECT_THAT(asking_of("3"), ElementsAre(0, 1, 2));
    EXPECT_THAT(asking_of("99"), ElementsAre(0, 1, 2, 3, 4));
}

TEST(asking_ranks, are_the_lowest_of_each_host_for_node_whatever_the_hosts_are_called) {
    EXPECT_THAT(asking_of("node"), ElementsAre(0, 2, 4));
}

TEST(asking_ranks, are_those_listed_after_a_plus_in_ascending_order) {
    EXPECT_THAT(asking_of("+4 1"), ElementsAre(1, 4));
}

TEST(asking_ranks, that_cannot_be_are_refused) {
    for (const auto* wish : {"0", "+5", "some"}) EXPECT_THROW(asking_of(wish), UsageError) << wish;
}

TEST(a_company_of_one, does_its_work_serves_once_more_after_it_and_passes_its_failure_on) {
    const auto solo = parallel::make_solo();
    bool worked = false, served_after = false;
    Company company;
    company.work = [&] { worked = true; };
    company.serve = [&] { served_after = worked; };
    run_in_company(*solo, company);
    EXPECT_TRUE(served_after);

    company.work = [] { throw EndpointError("dead"); };
    try {
        run_in_company(*solo, company);
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::endpoint);
        EXPECT_THAT(failure.what(), testing::HasSubstr("dead"));
    }
}

TEST(a_company_of_one, abandons_its_work_at_an_alarm) {
    const auto solo = parallel::make_solo();
    std::atomic<bool> abandoned{false};
    Company company;
    company.work = [&] {
        while (!abandoned) std::this_thread::yield();
    };
    company.abandon = [&] { abandoned = true; };
    company.counts = [] { return std::vector<std::int64_t>{7}; };
    company.look = [](std::span<const std::int64_t> sums) {
        if (sums[0] == 7) throw InputError("seven of them");
    };
    EXPECT_THROW(run_in_company(*solo, company), parallel::AgreedFailure);
    EXPECT_TRUE(abandoned);
}

}  // namespace tg::asking
