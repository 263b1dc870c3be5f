#include "taskgalaxy/storage/hdf5.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "temporary_folder.hpp"

namespace tg::storage {
namespace {

// The file with one byte changed near the middle of the dataset's raw data.
void flip_a_byte_of(const std::filesystem::path& file, const std::string& marker) {
    std::fstream io(file, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(io)), {});
    const auto at = bytes.find(marker);
    ASSERT_NE(at, std::string::npos);
    io.clear();
    io.seekp(static_cast<std::streamoff>(at));
    io.put(static_cast<char>(marker[0] ^ 1));
}

}  // namespace

TEST(hdf5, gives_back_what_was_written) {
    const test::TemporaryFolder folder;
    {
        auto out = Hdf5File::create(folder / "a.h5");
        out.write("numbers/small", std::vector<std::int32_t>{1, -2, 3});
        const std::vector<float> matrix{1, 2, 3, 4, 5, 6};
        const std::uint64_t shape[] = {3, 2};
        out.write("matrix", std::span<const float>(matrix), shape);
        out.write("empty", std::vector<double>{});
        out.write_texts("names", {"", "né", "two\nlines"});
        out.set_attribute("count", 3);
        out.set_attribute("share", 0.25);
        out.set_attribute("text", "hello");
        out.close();
    }
    const auto in = Hdf5File::open(folder / "a.h5");
    EXPECT_EQ(in.read<std::int32_t>("numbers/small"), (std::vector<std::int32_t>{1, -2, 3}));
    EXPECT_EQ(in.shape("matrix"), (std::vector<std::uint64_t>{3, 2}));
    EXPECT_EQ(in.read_rows<float>("matrix", 1, 1), (std::vector<float>{3, 4}));
    EXPECT_TRUE(in.read<double>("empty").empty());
    EXPECT_EQ(in.read_texts("names"), (std::vector<std::string>{"", "né", "two\nlines"}));
    EXPECT_EQ(in.int_attribute("count"), 3);
    EXPECT_EQ(in.double_attribute("share"), 0.25);
    EXPECT_EQ(in.text_attribute("text"), "hello");
    EXPECT_TRUE(in.has("numbers/small"));
    EXPECT_FALSE(in.has("numbers/large"));
    EXPECT_FALSE(in.has("no/such/group"));
    EXPECT_EQ(in.datasets().size(), 5u);
}

TEST(hdf5, refuses_the_wrong_type_and_rows_that_are_not_there) {
    const test::TemporaryFolder folder;
    auto out = Hdf5File::create(folder / "a.h5");
    out.write("x", std::vector<float>{1, 2});
    out.close();
    const auto in = Hdf5File::open(folder / "a.h5");
    EXPECT_THROW(in.read<double>("x"), StorageError);
    EXPECT_THROW(in.read_rows<float>("x", 1, 2), StorageError);
    EXPECT_THROW(in.read<float>("y"), StorageError);
    EXPECT_THROW(in.int_attribute("n"), StorageError);
}

TEST(hdf5, notices_a_flipped_bit) {
    const test::TemporaryFolder folder;
    auto out = Hdf5File::create(folder / "a.h5");
    out.write_texts("text", {"a marker that stands in the file as it is"});
    out.close();
    flip_a_byte_of(folder / "a.h5", "a marker that");
    const auto in = Hdf5File::open(folder / "a.h5");
    EXPECT_THROW(in.read_texts("text"), StorageError);
}

TEST(hdf5, names_a_file_that_is_missing_or_no_hdf5) {
    const test::TemporaryFolder folder;
    std::ofstream(folder / "b.h5") << "not a store";
    for (const char* name : {"missing.h5", "b.h5"}) {
        try {
            Hdf5File::open(folder / name);
            FAIL() << name << " was opened";
        } catch (const StorageError& error) {
            EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
        }
    }
}

TEST(hdf5, text_columns_give_rows_in_place) {
    const test::TemporaryFolder folder;
    auto out = Hdf5File::create(folder / "a.h5");
    out.write_texts("t", {"one", "", "three"});
    out.write_texts("none", {});
    out.close();
    const auto in = Hdf5File::open(folder / "a.h5");
    const TextColumn column(in, "t");
    ASSERT_EQ(column.size(), 3u);
    EXPECT_EQ(column[0], "one");
    EXPECT_EQ(column[1], "");
    EXPECT_EQ(column[2], "three");
    EXPECT_EQ(TextColumn(in, "none").size(), 0u);
}

}  // namespace tg::storage
