#include "taskgalaxy/parallel/communicator.hpp"

#include <gtest/gtest.h>
#include <stdexcept>

namespace tg::parallel {

TEST(solo, is_a_world_of_one) {
    const auto solo = make_solo();
    EXPECT_EQ(solo->size(), 1);
    EXPECT_EQ(solo->sum(std::int64_t{5}), 5);
    EXPECT_EQ(solo->sum_before(5), 0);
    EXPECT_EQ(solo->broadcast<std::string>("abc"), "abc");
    EXPECT_EQ(solo->gather<std::string>("abc"), std::vector<std::string>{"abc"});
    EXPECT_EQ(solo->split(-1), nullptr);
}

TEST(pretend, knows_its_place_and_refuses_to_communicate) {
    const auto pretend = make_pretend(3, 7);
    EXPECT_EQ(pretend->rank(), 3);
    EXPECT_EQ(pretend->size(), 7);
    EXPECT_THROW(pretend->barrier(), std::logic_error);
}

TEST(together, turns_a_failure_into_an_agreed_one_with_its_code) {
    const auto solo = make_solo();
    EXPECT_NO_THROW(together(*solo, [] {}));
    try {
        together(*solo, [] { throw StorageError("disk.h5: writing failed", "free space"); });
        FAIL() << "the failure was lost";
    } catch (const AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::storage);
        EXPECT_STREQ(failure.what(), "disk.h5: writing failed; free space");
    }
    EXPECT_THROW(together(*solo, [] { throw std::runtime_error("defect"); }), AgreedFailure);
}

}  // namespace tg::parallel
