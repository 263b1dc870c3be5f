// Embedding and matching in a process that is killed at some moment, twice, then finished by another: the same files,
// bit for bit.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/matching/embed_stage.hpp"
#include "taskgalaxy/matching/match_stage.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"
#include "temporary_folder.hpp"

namespace tg::matching {
namespace {

namespace fs = std::filesystem;
const fs::path fixtures = fs::path(TG_SOURCE_DIR) / "tests/fixtures";

pool::PoolSettings pool_settings() {
    pool::PoolSettings pool;
    pool.sources = {(fixtures / "pool/pictures").string()};
    pool.threads = 1;
    return pool;
}

void prepare(const fs::path& folder) {
    const auto solo = parallel::make_solo();
    run::StageContext context{*solo, run::Paths(folder), "fingerprint"};
    ingest::make_ingest_stage(pool_settings())->run(context);
    std::vector<std::string> paths;
    for (int i = 0; i < 60; ++i)
        paths.push_back("counting~things of kind " + std::to_string(i % 6) + "~how many of number " +
                        std::to_string(i));
    storage::publish_hdf5(folder / "taxonomy.h5",
                          [&](storage::Hdf5File& out) { taxonomy::Taxonomy(paths).write(out); });
}

void embed_and_match(const fs::path& folder) {
    const auto solo = parallel::make_solo();
    run::StageContext context{*solo, run::Paths(folder), "fingerprint"};
    EmbedSettings embed;
    embed.model = fixtures / "clip/exact";
    embed.dtype = layers::DtypeChoice::fp32;
    embed.device = layers::DeviceChoice::cpu;
    embed.batch = embed.images_per_part = embed.texts_per_part = 8;
    const auto pool = pool_settings();
    make_embed_images_stage(embed, pool)->run(context);
    make_embed_texts_stage(embed, pool)->run(context);
    MatchSettings match;
    match.k = 5;
    match.images_per_part = 4;
    make_match_stage(match)->run(context);
}

// Runs in a process of its own: see below.
TEST(killed_child, DISABLED_works_until_it_is_killed) {
    const char* folder = std::getenv("TG_KILLED_RUN");
    ASSERT_NE(folder, nullptr);
    embed_and_match(folder);
}

std::size_t files_in(const fs::path& folder) {
    std::error_code none;
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder, none), fs::directory_iterator()));
}

TEST(embed_and_match, end_the_same_after_kill_9_twice) {
    const tg::test::TemporaryFolder killed, whole;
    prepare(killed.path());
    prepare(whole.path());
    struct Moment {
        fs::path folder;
        std::size_t files;
    };
    const run::Paths paths(killed.path());
    for (const auto& moment : {Moment{paths.parts("embed-images"), 3}, Moment{paths.parts("match"), 5}}) {
        ::setenv("TG_KILLED_RUN", killed.path().c_str(), 1);
        const auto child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            std::array<char*, 4> arguments{const_cast<char*>("test_matching"),
                                           const_cast<char*>("--gtest_filter=killed_child.*"),
                                           const_cast<char*>("--gtest_also_run_disabled_tests"), nullptr};
            ::execv("/proc/self/exe", arguments.data());
            ::_exit(127);
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(100);
        while (files_in(moment.folder) < moment.files && !fs::exists(killed / "matches.h5") &&
               std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(files_in(moment.folder) >= moment.files || fs::exists(killed / "matches.h5"))
            << "the child did not get as far as it should";
    }
    embed_and_match(killed.path());
    embed_and_match(whole.path());
    for (const char* name : {"image_embeddings.h5", "text_embeddings.h5"}) {
        const auto a = storage::Hdf5File::open(killed / name), b = storage::Hdf5File::open(whole / name);
        EXPECT_EQ(a.read<float>("embedding"), b.read<float>("embedding")) << name;
    }
    const auto a = storage::Hdf5File::open(killed / "matches.h5"), b = storage::Hdf5File::open(whole / "matches.h5");
    EXPECT_EQ(a.read<std::int64_t>("type"), b.read<std::int64_t>("type"));
    EXPECT_EQ(a.read<float>("score"), b.read<float>("score"));
    EXPECT_EQ(a.read<std::int64_t>("diagnostics/images_per_type_and_rank"),
              b.read<std::int64_t>("diagnostics/images_per_type_and_rank"));
}

}  // namespace
}  // namespace tg::matching
