#include "taskgalaxy/run/lock.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg::run {

TEST(run_lock, keeps_a_second_job_out_and_names_the_first) {
    const test::TemporaryFolder folder;
    EXPECT_EQ(Lock::holder(folder.path()), "");
    {
        const Lock lock(folder.path());
        EXPECT_NE(Lock::holder(folder.path()).find("process "), std::string::npos);
        try {
            const Lock second(folder.path());
            FAIL() << "two jobs hold one run directory";
        } catch (const StorageError& error) {
            EXPECT_NE(std::string(error.what()).find("in use by process"), std::string::npos) << error.what();
        }
    }
    EXPECT_EQ(Lock::holder(folder.path()), "");
    EXPECT_NO_THROW(Lock{folder.path()});
}

}  // namespace tg::run
