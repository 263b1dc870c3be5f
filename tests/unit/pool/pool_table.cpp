#include "taskgalaxy/pool/pool_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "temporary_folder.hpp"

namespace tg::pool {
namespace {

ListedPicture listed(std::uint64_t i) {
    return {fmt::format("folder/{:03}.jpg", i), static_cast<std::uint32_t>(i % 2), 512 * i, 100 + i};
}

Finding found(std::uint64_t i) {
    Finding finding{.bytes = 100 + i, .width = static_cast<int>(10 + i), .height = static_cast<int>(20 + i)};
    for (std::size_t b = 0; b < finding.digest.bytes.size(); ++b)
        finding.digest.bytes[b] = static_cast<std::uint8_t>(17 * i + b);
    if (i % 4 == 3) finding.status = pictures::PictureStatus::corrupt, finding.reason = fmt::format("cut at {}", i);
    return finding;
}

void write_rows(storage::Hdf5File& out, parallel::Slice items) {
    std::vector<ListedPicture> pictures;
    std::vector<Finding> findings;
    for (auto i = items.begin; i < items.end; ++i) pictures.push_back(listed(i)), findings.push_back(found(i));
    write_pool_part(out, pictures, findings);
}

PoolWhole some_whole(std::uint64_t pictures) {
    PoolWhole whole{.pictures = pictures,
                    .duplicate_of = std::vector<std::int64_t>(pictures, -1),
                    .status = std::vector<std::uint8_t>(pictures, 7),
                    .containers = {{Container::Kind::folder, "/a", "a/"}, {Container::Kind::shard, "/b.tar", ""}},
                    .ignored_files = 3};
    if (pictures > 0) whole.duplicate_of.back() = 0;
    return whole;
}

class PoolTables : public ::testing::TestWithParam<std::uint64_t> {
protected:
    PoolTable written(const PoolWhole& whole) const {
        const auto solo = parallel::make_solo();
        const storage::PartStore store(folder / "parts", {GetParam(), 4}, "fingerprint", *solo);
        for (const auto part : store.mine())
            store.write(part, [&](storage::Hdf5File& out) { write_rows(out, store.parts().part(part)); });
        store.gather(folder / "pool.h5", [&](storage::Hdf5File& out) { write_pool_whole(out, whole); });
        return PoolTable::read(folder / "pool.h5");
    }
    test::TemporaryFolder folder;
};

TEST_P(PoolTables, give_back_what_was_found_in_all_parts) {
    const auto whole = some_whole(GetParam());
    const auto table = written(whole);
    ASSERT_EQ(table.size(), GetParam());
    std::uint64_t usable = 0;
    for (std::uint64_t i = 0; i < table.size(); ++i) {
        const auto finding = found(i);
        EXPECT_EQ(table.uri[i], listed(i).uri);
        EXPECT_EQ(table.container[i], listed(i).container);
        EXPECT_EQ(table.offset[i], listed(i).offset);
        EXPECT_EQ(table.reason[i], finding.reason);
        EXPECT_EQ(table.bytes[i], finding.bytes);
        EXPECT_EQ(table.digest[i], finding.digest);
        EXPECT_EQ(table.width[i], finding.width);
        EXPECT_EQ(table.height[i], finding.height);
        EXPECT_EQ(table.status[i], static_cast<std::uint8_t>(finding.status));
        usable += finding.status == pictures::PictureStatus::usable;
    }
    EXPECT_EQ(table.duplicate_of, whole.duplicate_of);
    ASSERT_EQ(table.containers.size(), 2u);
    EXPECT_EQ(table.containers[1].key(), whole.containers[1].key());
    EXPECT_EQ(table.usable(), usable);
    EXPECT_EQ(usable_count(folder / "pool.h5"), usable);
    EXPECT_EQ(picture_count(folder / "pool.h5"), GetParam());
}

TEST_P(PoolTables, take_the_status_that_only_the_whole_knows) {
    auto whole = some_whole(GetParam());
    whole.replaces_status = true;
    EXPECT_EQ(written(whole).status, whole.status);
}

INSTANTIATE_TEST_SUITE_P(pictures, PoolTables, ::testing::Values(1, 4, 61));

TEST(a_part_of_a_pool, may_hold_no_picture) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "pool.h5", [](storage::Hdf5File& out) {
        write_rows(out, {0, 0});
        write_pool_whole(out, some_whole(0));
    });
    EXPECT_EQ(PoolTable::read(folder / "pool.h5").size(), 0u);
    EXPECT_TRUE(read_pool_part(folder / "pool.h5").digest.empty());
}

TEST(a_part_of_a_pool, is_no_pool) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "part.h5", [](storage::Hdf5File& out) { write_rows(out, {0, 3}); });
    try {
        PoolTable::read(folder / "part.h5");
        FAIL() << "it was read";
    } catch (const StorageError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr((folder / "part.h5").string() + " /duplicate_of"));
    }
}

}  // namespace
}  // namespace tg::pool
