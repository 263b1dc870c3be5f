#include "taskgalaxy/storage/parts.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "temporary_folder.hpp"

namespace tg::storage {
namespace {

void write_squares(Hdf5File& out, parallel::Slice items) {
    std::vector<std::int64_t> squares;
    std::vector<std::string> names;
    for (auto i = items.begin; i < items.end; ++i) {
        squares.push_back(static_cast<std::int64_t>(i * i));
        names.push_back("item " + std::to_string(i));
    }
    out.write("square", squares);
    out.write_texts("name", names);
}

}  // namespace

TEST(part_store, gathers_parts_in_order_whoever_wrote_them) {
    const test::TemporaryFolder folder;
    const auto solo = parallel::make_solo();
    // Three lives: each "rank" of a job of three writes its parts, the last life gathers.
    for (int rank : {2, 0, 1}) {
        const PartStore store(folder / "parts", {10, 3}, "f", *solo);
        for (auto part : store.missing())
            if (part % 3 == static_cast<std::uint64_t>(rank))
                store.write(part, [&](Hdf5File& out) { write_squares(out, store.parts().part(part)); });
    }
    const PartStore store(folder / "parts", {10, 3}, "f", *solo);
    EXPECT_TRUE(store.missing().empty());
    store.gather(folder / "all.h5", [](Hdf5File& out) { out.set_attribute("done", 1); });
    const auto all = Hdf5File::open(folder / "all.h5");
    EXPECT_EQ(all.read<std::int64_t>("square"), (std::vector<std::int64_t>{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
    EXPECT_EQ(all.read_texts("name").at(9), "item 9");
    EXPECT_EQ(all.int_attribute("done"), 1);
    EXPECT_FALSE(std::filesystem::exists(folder / "parts"));
}

TEST(part_store, does_parts_again_that_are_broken_or_of_other_inputs) {
    const test::TemporaryFolder folder;
    const auto solo = parallel::make_solo();
    {
        const PartStore store(folder / "parts", {6, 2}, "old", *solo);
        store.write(0, [](Hdf5File& out) { write_squares(out, {0, 2}); });
    }
    {
        const PartStore store(folder / "parts", {6, 2}, "new", *solo);
        EXPECT_EQ(store.missing(), (std::vector<std::uint64_t>{0, 1, 2}));
        store.write(1, [](Hdf5File& out) { write_squares(out, {2, 4}); });
        std::ofstream(store.path(2)) << "half a file";
    }
    const PartStore store(folder / "parts", {6, 2}, "new", *solo);
    EXPECT_EQ(store.missing(), (std::vector<std::uint64_t>{0, 2}));
}

TEST(part_store, gathers_nothing_while_a_part_is_missing) {
    const test::TemporaryFolder folder;
    const auto solo = parallel::make_solo();
    const PartStore store(folder / "parts", {4, 2}, "f", *solo);
    store.write(0, [](Hdf5File& out) { write_squares(out, {0, 2}); });
    EXPECT_THROW(store.gather(folder / "all.h5"), parallel::AgreedFailure);
    EXPECT_FALSE(std::filesystem::exists(folder / "all.h5"));
    store.write(1, [](Hdf5File& out) { write_squares(out, {2, 4}); });
    std::filesystem::copy_file(store.path(0), store.path(1), std::filesystem::copy_options::overwrite_existing);
    EXPECT_THROW(store.gather(folder / "all.h5"), parallel::AgreedFailure);
    EXPECT_TRUE(std::filesystem::exists(folder / "parts"));
}

// Lives that are killed at any part and go on with any other part size end with the same rows.
TEST(part_store, goes_on_with_another_part_size) {
    RandomStream random(11);
    const auto solo = parallel::make_solo();
    for (int run = 0; run < 40; ++run) {
        const test::TemporaryFolder folder;
        const auto items = 1 + random.below(40);
        std::uint64_t done = 0;
        for (bool whole = false; !whole;) {
            const PartStore store(folder / "parts", {items, 1 + random.below(9)}, "f", *solo);
            whole = random.unit() < 0.3;
            for (const auto part : store.missing()) {
                if (!whole && random.unit() < 0.4) continue;
                store.write(part, [&](Hdf5File& out) { write_squares(out, store.parts().part(part)); });
                done += store.parts().part(part).size();
            }
            if (whole) store.gather(folder / "all.h5");
        }
        EXPECT_EQ(done, items);  // nothing is done twice
        const auto all = Hdf5File::open(folder / "all.h5").read<std::int64_t>("square");
        ASSERT_EQ(all.size(), items);
        for (std::uint64_t i = 0; i < items; ++i) ASSERT_EQ(all[i], static_cast<std::int64_t>(i * i));
    }
}

TEST(for_each_part, resumes_after_a_failure_where_it_was) {
    const test::TemporaryFolder folder;
    const auto solo = parallel::make_solo();
    int done = 0;
    const auto attempt = [&](bool fail) {
        const PartStore store(folder / "parts", {8, 2}, "f", *solo);
        for_each_part(store, *solo, "squares", "numbers",
                      [&](std::uint64_t part, parallel::Slice items, Hdf5File& out) {
                          if (fail && part == 2) throw InputError("part 2 cannot be done now");
                          write_squares(out, items);
                          ++done;
                      });
        store.gather(folder / "all.h5");
    };
    EXPECT_THROW(attempt(true), parallel::AgreedFailure);
    attempt(false);
    EXPECT_EQ(done, 4);
    EXPECT_EQ(Hdf5File::open(folder / "all.h5").rows("square"), 8u);
}

}  // namespace tg::storage
