// The pictures of tests/fixtures/pool, and what Pillow makes of them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>
#include <zlib.h>

#include "taskgalaxy/pictures/image.hpp"

namespace tg::test {

inline const std::filesystem::path picture_folder =
    std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/pool/pictures";

inline std::vector<std::byte> file_bytes(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in) << path;
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

inline std::vector<std::uint8_t> inflated(const std::filesystem::path& path) {
    const auto packed = file_bytes(path);
    std::vector<std::uint8_t> out(1 << 20);
    uLongf size = out.size();
    EXPECT_EQ(uncompress(out.data(), &size, reinterpret_cast<const Bytef*>(packed.data()), packed.size()), Z_OK)
        << path;
    out.resize(size);
    return out;
}

inline pictures::Image expected_image(const std::string& name) {
    const auto raw = inflated(picture_folder / name);
    pictures::Image image;
    std::memcpy(&image.width, raw.data(), 4);
    std::memcpy(&image.height, raw.data() + 4, 4);
    image.rgb.assign(raw.begin() + 8, raw.end());
    return image;
}

inline std::vector<float> expected_floats(const std::string& name) {
    const auto raw = inflated(picture_folder / name);
    std::vector<float> values(raw.size() / 4);
    std::memcpy(values.data(), raw.data(), values.size() * 4);
    return values;
}

// Says where two pictures first differ, by how much at most, and how often.
inline ::testing::AssertionResult same(const pictures::Image& got, const pictures::Image& wanted) {
    if (got.width != wanted.width || got.height != wanted.height)
        return ::testing::AssertionFailure()
               << got.width << " x " << got.height << " instead of " << wanted.width << " x " << wanted.height;
    if (got.rgb.size() != wanted.rgb.size())
        return ::testing::AssertionFailure() << got.rgb.size() << " bytes instead of " << wanted.rgb.size();
    std::size_t differ = 0, first = 0;
    int most = 0;
    for (std::size_t i = got.rgb.size(); i-- > 0;)
        if (const int d = std::abs(got.rgb[i] - wanted.rgb[i]); d > 0) ++differ, first = i, most = std::max(most, d);
    if (differ == 0) return ::testing::AssertionSuccess();
    const auto pixel = first / 3, width = static_cast<std::size_t>(got.width);
    return ::testing::AssertionFailure() << differ << " of " << got.rgb.size() << " samples differ, by at most " << most
                                         << ", first at (" << pixel % width << ", " << pixel / width << ")";
}

// A folder that goes away with the test.
class ScratchFolder {
public:
    ScratchFolder() {
        auto name = (std::filesystem::temp_directory_path() / "tg_pool_XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~ScratchFolder() { std::filesystem::remove_all(path_); }
    ScratchFolder(const ScratchFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }
    void write(const std::filesystem::path& name, std::span<const std::byte> bytes) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    void write(const std::filesystem::path& name, std::string_view text) const {
        write(name, std::as_bytes(std::span(text)));
    }

private:
    std::filesystem::path path_;
};

}  // namespace tg::test
