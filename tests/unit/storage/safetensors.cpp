#include "taskgalaxy/storage/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "taskgalaxy/core/error.hpp"

namespace tg::storage {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
protected:
    void SetUp() override {
        folder = fs::path(testing::TempDir()) /
                 ("safetensors_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
        fs::remove_all(folder);
        fs::create_directories(folder);
    }
    void TearDown() override { fs::remove_all(folder); }

    // A file with this header text and this many bytes of data; the length field can be made to lie.
    fs::path raw_file(const std::string& name, const std::string& header, std::size_t data_bytes,
                      std::uint64_t lie = 0) const {
        const std::uint64_t length = lie != 0 ? lie : header.size();
        std::ofstream out(folder / name, std::ios::binary);
        for (int i = 0; i < 8; ++i) out.put(static_cast<char>(length >> (8 * i) & 0xFF));
        out << header << std::string(data_bytes, 'x');
        return folder / name;
    }
    static std::string error_of(const std::function<void()>& work) {
        try {
            work();
        } catch (const InputError& error) {
            return error.what();
        }
        return "no InputError was thrown";
    }
    std::string error_of_header(const std::string& header, std::size_t data_bytes, std::uint64_t lie = 0) const {
        const auto path = raw_file("model.safetensors", header, data_bytes, lie);
        return error_of([&] { SafetensorsFolder{path}; });
    }

    fs::path folder;
};

std::vector<std::byte> counting(std::size_t count, int from) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(from + static_cast<int>(i));
    return bytes;
}

std::vector<TensorSpec> three_tensors() {
    return {{"a.weight", {TensorType::f32, {4, 3}}}, {"b", {TensorType::bf16, {5}}}, {"scale", {TensorType::f32, {}}}};
}

void fill(SafetensorsWriter& writer) {
    writer.write("a.weight", counting(48, 0));
    writer.write("b", counting(10, 100));
    writer.write("scale", counting(4, 200));
}

TEST_F(SafetensorsTest, what_is_written_is_read_back) {
    {
        SafetensorsWriter writer(folder, three_tensors());
        fill(writer);
        EXPECT_FALSE(fs::exists(folder / "model.safetensors")) << "nothing stands under a final name before publish()";
        writer.publish();
    }
    const SafetensorsFolder weights(folder);
    ASSERT_EQ(weights.tensors().size(), 3u);
    EXPECT_EQ(weights.info("a.weight").shape, (std::vector<std::int64_t>{4, 3}));
    EXPECT_EQ(weights.info("b").type, TensorType::bf16);
    std::vector<std::byte> whole(48), rows(24), scale(4);
    weights.read("a.weight", whole);
    EXPECT_EQ(whole, counting(48, 0));
    weights.read_rows("a.weight", 1, 2, rows);
    EXPECT_EQ(rows, counting(24, 12));
    weights.read("scale", scale);
    EXPECT_EQ(scale, counting(4, 200));
}

TEST_F(SafetensorsTest, shards_hold_whole_tensors_and_an_index_finds_them) {
    {
        SafetensorsWriter writer(folder, three_tensors(), {.shard_bytes = 50});
        fill(writer);
        writer.publish();
    }
    EXPECT_TRUE(fs::exists(folder / "model-00001-of-00002.safetensors"));
    EXPECT_TRUE(fs::exists(folder / "model.safetensors.index.json"));
    const SafetensorsFolder weights(folder);
    EXPECT_EQ(weights.files().size(), 2u);
    std::vector<std::byte> b(10);
    weights.read("b", b);
    EXPECT_EQ(b, counting(10, 100));
}

TEST_F(SafetensorsTest, a_new_layout_replaces_the_old_one) {
    {
        SafetensorsWriter writer(folder, three_tensors(), {.shard_bytes = 50});
        fill(writer);
        writer.publish();
    }
    {
        SafetensorsWriter writer(folder, three_tensors());
        fill(writer);
        writer.publish();
    }
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    EXPECT_THAT(names, testing::ElementsAre("model.safetensors"));
}

TEST_F(SafetensorsTest, several_writers_fill_the_rows_of_one_file) {
    SafetensorsWriter first(folder, three_tensors(), {}, SafetensorsWriter::Part::first);
    SafetensorsWriter second(folder, three_tensors(), {}, SafetensorsWriter::Part::other);
    first.write_rows("a.weight", 0, 2, counting(24, 0));
    second.write_rows("a.weight", 2, 2, counting(24, 24));
    second.write("b", counting(10, 100));
    first.write("scale", counting(4, 200));
    second.flush();
    first.publish();
    std::vector<std::byte> whole(48);
    SafetensorsFolder(folder).read("a.weight", whole);
    EXPECT_EQ(whole, counting(48, 0));
}

TEST_F(SafetensorsTest, publishing_half_written_weights_is_a_defect) {
    SafetensorsWriter writer(folder, three_tensors());
    writer.write("b", counting(10, 100));
    EXPECT_THROW(writer.publish(), std::logic_error);
    EXPECT_THROW(writer.write("c", counting(1, 0)), std::logic_error);
    EXPECT_THROW(writer.write_rows("a.weight", 3, 2, counting(24, 0)), std::logic_error);
}

TEST_F(SafetensorsTest, lies_in_the_header_are_named) {
    const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    EXPECT_THAT(error_of_header(good, 8), HasSubstr("no InputError"));
    EXPECT_THAT(error_of_header(good, 8, 1'000'000), HasSubstr("claims a header of 1000000 bytes"));
    EXPECT_THAT(error_of_header(good, 8, ~std::uint64_t{0}), HasSubstr("claims a header"));
    EXPECT_THAT(error_of_header(good, 7),
                AllOf(HasSubstr("model.safetensors: tensor 'a'"), HasSubstr("reach past the 7 bytes")));
    EXPECT_THAT(error_of_header(good, 9), HasSubstr("1 bytes after the last tensor"));
    EXPECT_THAT(error_of_header("[1,2]", 0), HasSubstr("not a JSON object"));
    EXPECT_THAT(error_of_header("{\"a\":", 0), HasSubstr("not a JSON object"));
    EXPECT_THAT(error_of_header(std::string(100'000, '['), 0), HasSubstr("not a JSON object"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
                HasSubstr("needs 12 bytes, the header gives 8"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"Q7","shape":[2],"data_offsets":[0,8]}})", 8),
                HasSubstr("type \"Q7\" is not known"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8),
                HasSubstr("whole numbers"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8),
                HasSubstr("too large"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
                HasSubstr("reach past"));
    EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[2]}})", 8),
                HasSubstr("lacks dtype, shape or data_offsets"));
}

TEST_F(SafetensorsTest, tensors_may_neither_overlap_nor_leave_gaps_nor_appear_twice) {
    EXPECT_THAT(
        error_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],)"
                        R"("data_offsets":[4,12]}})",
                        12),
        HasSubstr("tensor 'b' overlaps"));
    EXPECT_THAT(
        error_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],)"
                        R"("data_offsets":[12,16]}})",
                        16),
        HasSubstr("tensor 'b' leaves a gap"));
    EXPECT_THAT(
        error_of_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],)"
                        R"("data_offsets":[0,4]}})",
                        4),
        HasSubstr("tensor 'a' appears twice"));
}

TEST_F(SafetensorsTest, an_index_that_names_what_is_not_there_is_refused) {
    const auto index = [&](const std::string& map) {
        std::ofstream(folder / "model.safetensors.index.json") << R"({"metadata":{},"weight_map":)" << map << "}";
    };
    index(R"({"a":"model-00001-of-00002.safetensors"})");
    EXPECT_THAT(error_of([&] { SafetensorsFolder{folder}; }),
                HasSubstr("names model-00001-of-00002.safetensors, which is missing"));
    raw_file("model-00001-of-00002.safetensors", R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
    EXPECT_THAT(error_of([&] { SafetensorsFolder{folder}; }),
                HasSubstr("tensor 'a' is not in model-00001-of-00002.safetensors"));
    index(R"({"a":"../secret"})");
    EXPECT_THAT(error_of([&] { SafetensorsFolder{folder}; }), HasSubstr("no file of this folder"));
}

TEST_F(SafetensorsTest, a_folder_without_weights_says_what_it_wants) {
    EXPECT_THAT(error_of([&] { SafetensorsFolder{folder}; }), HasSubstr("holds neither model.safetensors nor"));
    EXPECT_THAT(error_of([&] { SafetensorsFolder{folder / "nowhere"}; }), HasSubstr("no such model folder"));
}

}  // namespace
}  // namespace tg::storage
