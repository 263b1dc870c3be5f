#include "taskgalaxy/core/crash.hpp"

#include <csignal>
#include <gtest/gtest.h>

#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg {
namespace {

TEST(crash, leaves_the_calls_in_the_log_and_still_ends_by_its_signal) {
    const test::TemporaryFolder folder;
    const auto log = folder / "rank-0.log";
    EXPECT_EXIT(
        {
            write_crashes_to(log);
            std::raise(SIGSEGV);
        },
        testing::KilledBySignal(SIGSEGV), "ended by signal 11");
    const auto text = read_text_file(log);
    EXPECT_NE(text.find("ended by signal 11"), text.npos);
    EXPECT_NE(text.find("test_core"), text.npos) << "frames name the program:\n" << text;
}

}  // namespace
}  // namespace tg
