#include "taskgalaxy/storage/publish.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg::storage {

TEST(publish, replaces_a_file_whole_and_leaves_no_temporary) {
    const test::TemporaryFolder folder;
    publish_text(folder / "deep/a.txt", "one");
    publish_text(folder / "deep/a.txt", "two");
    EXPECT_EQ(read_text_file(folder / "deep/a.txt"), "two");
    EXPECT_FALSE(std::filesystem::exists(temporary_name(folder / "deep/a.txt")));
}

TEST(publish, keeps_the_old_file_when_filling_the_new_one_fails) {
    const test::TemporaryFolder folder;
    publish_hdf5(folder / "a.h5", [](Hdf5File& out) { out.write("x", std::vector<int>{1}); });
    EXPECT_THROW(publish_hdf5(folder / "a.h5", [](Hdf5File&) { throw InputError("half way"); }), InputError);
    EXPECT_EQ(Hdf5File::open(folder / "a.h5").read<int>("x"), std::vector<int>{1});
}

TEST(publish, says_that_the_disk_is_full) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
    const test::TemporaryFolder folder;
    std::filesystem::create_symlink("/dev/full", temporary_name(folder / "a.txt"));
    try {
        publish_text(folder / "a.txt", "some bytes");
        FAIL() << "a full disk was not noticed";
    } catch (const StorageError& error) {
        EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos) << error.what();
    }
}

}  // namespace tg::storage
