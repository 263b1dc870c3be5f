#include "fixtures.hpp"

namespace tg::pictures {
namespace {

using namespace test;

std::vector<std::string> encoded_pictures() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(picture_folder)) {
        const auto name = entry.path().filename().string();
        if (!name.ends_with(".rgb") && !name.ends_with(".f32") && !name.starts_with("recipe_")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

class DecodedPicture : public ::testing::TestWithParam<std::string> {};

TEST_P(DecodedPicture, equals_what_Pillow_gives) {
    const auto bytes = file_bytes(picture_folder / GetParam());
    const auto stem = std::filesystem::path(GetParam()).stem().string();
    const auto wanted = expected_image(stem + ".rgb");
    EXPECT_TRUE(same(decode(bytes), wanted));
    const auto seen = verify(bytes), from_header = probe(bytes);
    EXPECT_EQ(seen.width, wanted.width);
    EXPECT_EQ(seen.height, wanted.height);
    EXPECT_EQ(from_header.width, wanted.width);
    EXPECT_EQ(from_header.height, wanted.height);
}

TEST_P(DecodedPicture, cut_anywhere_is_an_error_or_a_picture_but_never_anything_else) {
    const auto bytes = file_bytes(picture_folder / GetParam());
    const auto wanted = expected_image(std::filesystem::path(GetParam()).stem().string() + ".rgb");
    std::size_t errors = 0;
    for (std::size_t keep = 0; keep < bytes.size(); keep += 1 + bytes.size() / 97) {
        try {
            const auto image = decode(std::span(bytes).first(keep));
            EXPECT_EQ(image.rgb.size(),
                      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3);
        } catch (const UnreadableImage& error) {
            EXPECT_NE(error.status(), PictureStatus::usable);
            EXPECT_STRNE(error.what(), "");
            ++errors;
        }
    }
    EXPECT_GT(errors, 20u);  // only what follows the last pixel may be missing
}

INSTANTIATE_TEST_SUITE_P(every_format, DecodedPicture, ::testing::ValuesIn(encoded_pictures()), [](const auto& tested) {
    auto name = tested.param;
    std::replace(name.begin(), name.end(), '.', '_');
    return name;
});

TEST(decode, turns_pictures_upright_only_when_asked) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
        const auto stem = "jpeg_exif_" + std::to_string(orientation);
        const auto bytes = file_bytes(picture_folder / (stem + ".jpg"));
        EXPECT_TRUE(same(decode(bytes), expected_image(stem + ".rgb"))) << orientation;
        EXPECT_TRUE(same(decode(bytes, {.exif_rotate = true}), expected_image(stem + ".upright.rgb"))) << orientation;
        EXPECT_EQ(probe(bytes, {.exif_rotate = true}).width, orientation >= 5 ? 24 : 40);
    }
}

PictureStatus status_of(std::span<const std::byte> bytes, const DecodeOptions& options = {}) {
    try {
        decode(bytes, options);
    } catch (const UnreadableImage& error) {
        return error.status();
    }
    return PictureStatus::usable;
}
PictureStatus status_of(std::string_view text) { return status_of(std::as_bytes(std::span(text))); }

TEST(decode, names_what_is_wrong) {
    EXPECT_EQ(status_of(""), PictureStatus::empty);
    EXPECT_EQ(status_of("just text"), PictureStatus::not_a_picture);
    EXPECT_EQ(status_of("<!DOCTYPE html><html>404</html>"), PictureStatus::not_a_picture);
    EXPECT_EQ(status_of(std::string_view("II*\0rest of a TIFF", 18)), PictureStatus::unsupported);
    const auto jpeg = file_bytes(picture_folder / "jpeg_420.jpg"),
               progressive = file_bytes(picture_folder / "jpeg_progressive.jpg"),
               png = file_bytes(picture_folder / "png_rgb.png");
    EXPECT_EQ(status_of(std::span(jpeg).first(jpeg.size() / 2)), PictureStatus::truncated);
    EXPECT_EQ(status_of(std::span(progressive).first(progressive.size() / 2)), PictureStatus::truncated);
    EXPECT_EQ(status_of(std::span(progressive).first(progressive.size() - 2)), PictureStatus::truncated);
    EXPECT_EQ(status_of(std::span(jpeg).first(jpeg.size() - 2)), PictureStatus::usable)
        << "Pillow, too, does without the end marker";
    EXPECT_EQ(status_of(std::span(png).first(png.size() / 2)), PictureStatus::truncated);
    auto damaged = png;
    damaged[png.size() / 2] ^= std::byte{0x10};
    EXPECT_EQ(status_of(damaged), PictureStatus::corrupt);
    EXPECT_EQ(status_of(png, {.max_pixels = 97 * 71 - 1}), PictureStatus::too_large);
    EXPECT_EQ(status_of(png, {.max_pixels = 97 * 71}), PictureStatus::usable);
}

TEST(decode, refuses_a_bomb_before_taking_memory) {
    auto png = file_bytes(picture_folder / "png_rgb.png");
    auto jpeg = file_bytes(picture_folder / "jpeg_420.jpg");
    const auto put = [](std::vector<std::byte>& bytes, std::size_t at, std::initializer_list<int> values) {
        for (const int v : values) bytes[at++] = static_cast<std::byte>(v);
    };
    put(png, 16, {0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60});  // 60,000 x 60,000
    const unsigned long crc = crc32(0, reinterpret_cast<const Bytef*>(png.data()) + 12, 17);
    put(png, 29,
        {static_cast<int>(crc >> 24 & 255), static_cast<int>(crc >> 16 & 255), static_cast<int>(crc >> 8 & 255),
         static_cast<int>(crc & 255)});
    EXPECT_EQ(status_of(png), PictureStatus::too_large);
    for (std::size_t i = 0; i + 9 < jpeg.size(); ++i)
        if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xC0}) put(jpeg, i + 5, {0xEA, 0x60, 0xEA, 0x60});
    EXPECT_EQ(status_of(jpeg), PictureStatus::too_large);
}

TEST(decode, stops_a_jpeg_that_repeats_scans_for_ever) {
    const auto jpeg = file_bytes(picture_folder / "jpeg_progressive.jpg");
    // Everything from the last start-of-scan marker on, over and over.
    std::size_t scan = 0;
    for (std::size_t i = 0; i + 1 < jpeg.size(); ++i)
        if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xDA}) scan = i;
    std::vector<std::byte> endless(jpeg.begin(), jpeg.end() - 2);
    for (int i = 0; i < 2000; ++i)
        endless.insert(endless.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(scan), jpeg.end() - 2);
    EXPECT_EQ(status_of(endless), PictureStatus::corrupt);
}

TEST(encode_jpeg, is_read_back_close_to_what_went_in) {
    const auto image = expected_image("png_rgb.rgb");
    for (const int quality : {75, 95}) {
        const auto back = decode(encode_jpeg(image, quality));
        ASSERT_EQ(back.rgb.size(), image.rgb.size());
        double error = 0;
        for (std::size_t i = 0; i < image.rgb.size(); ++i) error += std::abs(back.rgb[i] - image.rgb[i]);
        EXPECT_LT(error / static_cast<double>(image.rgb.size()), quality == 95 ? 3 : 12);
    }
    EXPECT_THROW(encode_jpeg({}, 90), InputError);
}

}  // namespace
}  // namespace tg::pictures
