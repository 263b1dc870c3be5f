// Runs GoogleTest on every rank; the exit code is the worst of all ranks, so one failing rank fails the test.
#include <gtest/gtest.h>

#include "mpi_world.hpp"
#include "taskgalaxy/parallel/session.hpp"

namespace tg::test {
namespace {
const parallel::Communicator* current_world = nullptr;
}
const parallel::Communicator& world() { return *current_world; }
}  // namespace tg::test

int main(int argc, char** argv) {
    const tg::parallel::Session session(argc, argv);
    tg::test::current_world = &session.world();
    ::testing::InitGoogleTest(&argc, argv);
    if (!session.world().is_root())
        delete ::testing::UnitTest::GetInstance()->listeners().Release(
            ::testing::UnitTest::GetInstance()->listeners().default_result_printer());
    tg::parallel::Session::watch_collectives(std::chrono::seconds(120));
    const int mine = RUN_ALL_TESTS();
    return static_cast<int>(session.world().max(std::int64_t{mine}));
}
