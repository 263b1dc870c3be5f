#include "shutdown.hpp"

#include <gtest/gtest.h>
#include <stdexcept>

namespace tg::llm {

using Reason = Shutdown::Reason;

TEST(shutdown, ends_as_the_first_reason_says) {
    Shutdown shutdown(10);
    EXPECT_EQ(shutdown.end(), RunEnd::finished);
    EXPECT_TRUE(shutdown.begin(Reason::budget, 100));
    EXPECT_FALSE(shutdown.begin(Reason::request, 105));
    EXPECT_EQ(shutdown.end(), RunEnd::budget);
}

TEST(shutdown, waits_for_what_is_in_flight_from_its_beginning_on) {
    Shutdown shutdown(10);
    EXPECT_FALSE(shutdown.drained_long_enough(1e9)) << "nothing stops";
    shutdown.begin(Reason::request, 100);
    shutdown.begin(Reason::budget, 105);
    EXPECT_FALSE(shutdown.drained_long_enough(109.9));
    EXPECT_TRUE(shutdown.drained_long_enough(110));
}

TEST(shutdown, tells_the_first_failure_even_where_it_stopped_for_another_reason) {
    Shutdown shutdown(10);
    shutdown.begin(Reason::request, 100);
    shutdown.begin(Reason::failure, 101, std::make_exception_ptr(std::runtime_error("first")));
    shutdown.begin(Reason::failure, 102, std::make_exception_ptr(std::logic_error("second")));
    EXPECT_THROW(shutdown.end(), std::runtime_error);
}

}  // namespace tg::llm
