// Ingest on every number of ranks gives the same pool.h5, column for column, as one process alone.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "mpi_world.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg {
namespace {

using test::world;

std::filesystem::path shared_folder() {
    std::string name;
    if (world().is_root()) {
        name = (std::filesystem::temp_directory_path() / "tg_ingest_XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
    }
    return world().broadcast<std::string>(name);
}

void run_ingest(const pool::PoolSettings& settings, const std::filesystem::path& folder,
                const parallel::Communicator& ranks) {
    run::StageContext context{ranks, run::Paths(folder), "fingerprint"};
    ingest::make_ingest_stage(settings)->run(context);
}

// Every dataset of the file as bytes of text, so that a difference names its column.
std::vector<std::pair<std::string, std::string>> columns_of(const std::filesystem::path& path) {
    std::vector<std::pair<std::string, std::string>> columns;
    const auto file = storage::Hdf5File::open(path);
    for (const auto& set : file.datasets()) {
        std::string text;
        for (const auto dimension : set.shape) text += std::to_string(dimension) + " ";
        const auto add = [&]<class T>(T) {
            for (const auto value : file.read<T>(set.name)) text += std::to_string(value) + ",";
        };
        switch (set.type) {
            case storage::Hdf5Type::u8: add(std::uint8_t{}); break;
            case storage::Hdf5Type::i32: add(std::int32_t{}); break;
            case storage::Hdf5Type::u32: add(std::uint32_t{}); break;
            case storage::Hdf5Type::i64: add(std::int64_t{}); break;
            case storage::Hdf5Type::u64: add(std::uint64_t{}); break;
            default: ADD_FAILURE() << set.name << " is of a type that pool.h5 does not have";
        }
        columns.emplace_back(set.name, std::move(text));
    }
    return columns;
}

TEST(ingest, gives_the_same_pool_on_any_number_of_ranks) {
    const auto folder = shared_folder();
    pool::PoolSettings settings;
    settings.sources = {std::string(TG_SOURCE_DIR) + "/tests/fixtures/pool/pictures"};
    settings.threads = 2;
    for (const int items_per_part : {7, 1000}) {  // more parts than ranks, and one part for all of them
        settings.items_per_part = items_per_part;
        run_ingest(settings, folder / "together", world());
        if (world().is_root()) {
            settings.items_per_part = 16;
            run_ingest(settings, folder / "alone", *parallel::make_solo());
            const auto together = columns_of(folder / "together/pool.h5"), alone = columns_of(folder / "alone/pool.h5");
            EXPECT_GT(alone.size(), 10u);
            EXPECT_EQ(together, alone);
            EXPECT_FALSE(std::filesystem::exists(folder / "together/parts/ingest_listing"));
        }
        world().barrier();
    }
    if (world().is_root()) std::filesystem::remove_all(folder);
}

TEST(ingest, fails_alike_on_every_rank_when_a_source_is_not_there) {
    const auto folder = shared_folder();
    pool::PoolSettings settings;
    settings.sources = {"folder:/no/such/folder"};
    EXPECT_THROW(run_ingest(settings, folder, world()), parallel::AgreedFailure);
    world().barrier();
    if (world().is_root()) std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tg
