// A process that is killed in the middle of ingest, and another that goes on.
#include <chrono>
#include <csignal>
#include <sys/wait.h>
#include <thread>

#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "unit/pictures/fixtures.hpp"

namespace tg::pool {
namespace {

using namespace test;

void ingest_in_child(const PoolSettings& settings, const std::filesystem::path& run) {
    const auto ranks = parallel::make_solo();
    run::StageContext context{*ranks, run::Paths(run), "f"};
    ingest::make_ingest_stage(settings)->run(context);
}

std::size_t parts_in(const std::filesystem::path& run) {
    std::error_code none;
    std::size_t parts = 0;
    for (const auto& entry : std::filesystem::directory_iterator(run / "parts/ingest", none))
        parts += entry.path().extension() == ".h5" ? 1 : 0;
    return parts;
}

TEST(ingest, goes_on_after_kill_9_and_ends_the_same) {
    const ScratchFolder folder, killed, whole;
    for (int copy = 0; copy < 3; ++copy)
        for (const auto& entry : std::filesystem::directory_iterator(picture_folder))
            if (const auto name = entry.path().filename(); name.extension() != ".rgb" && name.extension() != ".f32")
                folder.write(std::filesystem::path(std::to_string(copy)) / name, file_bytes(entry.path()));
    PoolSettings settings;
    settings.sources = {folder.path().string()};
    settings.threads = 1;
    settings.items_per_part = 2;

    for (const std::size_t wait_for : {3u, 20u}) {
        const auto child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            ingest_in_child(settings, killed.path());
            ::_exit(0);
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (parts_in(killed.path()) < wait_for && !std::filesystem::exists(killed.path() / "pool.h5") &&
               std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
    }
    // A file that appears after the listing was made does not move the indices.
    const auto listed = std::filesystem::exists(killed.path() / "parts/ingest_listing/listing.h5");
    folder.write("0/added_later.jpg", "x");
    ingest_in_child(settings, killed.path());
    std::filesystem::remove(folder.path() / "0/added_later.jpg");
    ingest_in_child(settings, whole.path());

    const Pool after_kill(killed.path() / "pool.h5", settings), uninterrupted(whole.path() / "pool.h5", settings);
    EXPECT_TRUE(listed);
    ASSERT_EQ(after_kill.size(), uninterrupted.size());
    for (std::uint64_t i = 0; i < uninterrupted.size(); ++i) {
        EXPECT_EQ(after_kill.uri(i), uninterrupted.uri(i));
        EXPECT_EQ(after_kill.digest(i), uninterrupted.digest(i));
        EXPECT_EQ(after_kill.status(i), uninterrupted.status(i));
        EXPECT_EQ(after_kill.reason(i), uninterrupted.reason(i));
        EXPECT_EQ(after_kill.duplicate_of(i), uninterrupted.duplicate_of(i));
    }
    EXPECT_FALSE(std::filesystem::exists(killed.path() / "parts/ingest"));
}

}  // namespace
}  // namespace tg::pool
