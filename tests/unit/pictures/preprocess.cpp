#include "taskgalaxy/pictures/preprocess.hpp"

#include <bit>

#include "fixtures.hpp"

namespace tg::pictures {
namespace {

using namespace test;

constexpr std::array<float, 3> clip_mean{0.48145466f, 0.4578275f, 0.40821073f},
    clip_std{0.26862954f, 0.26130258f, 0.27577711f};

ImageRecipe clip_recipe(int shortest_edge, int size) {
    ImageRecipe recipe;
    recipe.size = size;
    recipe.shortest_edge = shortest_edge;
    recipe.mean = clip_mean;
    recipe.std = clip_std;
    return recipe;
}

std::vector<std::pair<std::string, ImageRecipe>> recipes() {
    auto padded = clip_recipe(32, 32);
    padded.pad_square = true;
    return {{"clip", clip_recipe(32, 32)},
            {"crop_larger", clip_recipe(28, 32)},
            {"crop_smaller", clip_recipe(36, 32)},
            {"exact", ImageRecipe::exact(32, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f})},
            {"pad", padded}};
}

TEST(to_pixels, gives_the_floats_of_the_reference_processors_bit_for_bit) {
    for (const std::string shape : {"landscape", "portrait", "strip"}) {
        const auto bytes = file_bytes(picture_folder / ("recipe_" + shape + ".jpg"));
        for (const auto& [name, recipe] : recipes()) {
            const auto wanted = expected_floats("recipe_" + shape + "." + name + ".f32");
            std::vector<float> in_one_pass(recipe.values()), from_image(recipe.values());
            decode_to_pixels(bytes, {}, recipe, std::span(in_one_pass));
            to_pixels(decode(bytes), recipe, std::span(from_image));
            EXPECT_EQ(from_image, wanted) << shape << " " << name;
            EXPECT_EQ(in_one_pass, wanted) << shape << " " << name;
        }
    }
}

TEST(to_pixels, rounds_bfloat16_to_nearest_even) {
    const auto image = decode(file_bytes(picture_folder / "png_rgb.png"));
    const auto recipe = clip_recipe(32, 32);
    std::vector<float> wide(recipe.values());
    std::vector<std::uint16_t> narrow(recipe.values());
    to_pixels(image, recipe, std::span(wide));
    to_pixels(image, recipe, std::span(narrow));
    for (std::size_t i = 0; i < wide.size(); ++i) {
        const auto back = std::bit_cast<float>(static_cast<std::uint32_t>(narrow[i]) << 16);
        EXPECT_LE(std::abs(back - wide[i]), std::abs(wide[i]) / 256) << i;
    }
}

// The crop tells the JPEG decoder what to leave out; what is kept must not notice. All sampling ratios, many positions
// of the cut.
TEST(decode_to_pixels, equals_a_full_decode_whatever_the_crop_leaves_out) {
    for (const std::string file :
         {"jpeg_420.jpg", "jpeg_420_wide.jpg", "jpeg_422.jpg", "jpeg_444.jpg", "jpeg_progressive.jpg", "jpeg_cmyk.jpg",
          "jpeg_gray.jpg", "jpeg_restarts.jpg", "png_rgb.png", "png_palette.png", "webp_lossy.webp",
          "gif_interlaced.gif", "bmp_24.bmp"}) {
        const auto bytes = file_bytes(picture_folder / file);
        const auto image = decode(bytes);
        for (const int edge : {16, 48, 71, 90, 140})
            for (const int size : {8, 16}) {
                const auto recipe = clip_recipe(edge, size);
                std::vector<float> in_one_pass(recipe.values()), from_image(recipe.values());
                decode_to_pixels(bytes, {}, recipe, std::span(in_one_pass));
                to_pixels(image, recipe, std::span(from_image));
                EXPECT_EQ(in_one_pass, from_image) << file << " edge " << edge << " size " << size;
            }
    }
}

TEST(decode_to_pixels, turns_pictures_upright_when_asked) {
    const auto recipe = clip_recipe(16, 16);
    for (int orientation = 1; orientation <= 8; ++orientation) {
        const auto stem = "jpeg_exif_" + std::to_string(orientation);
        std::vector<float> got(recipe.values()), wanted(recipe.values());
        decode_to_pixels(file_bytes(picture_folder / (stem + ".jpg")), {.exif_rotate = true}, recipe, std::span(got));
        to_pixels(expected_image(stem + ".upright.rgb"), recipe, std::span(wanted));
        EXPECT_EQ(got, wanted) << orientation;
    }
}

TEST(decode_to_pixels, decodes_jpegs_small_when_allowed_and_stays_close) {
    Image large = resized(expected_image("resize_source.rgb"), 984, 712);
    const auto jpeg = encode_jpeg(large, 90);
    auto recipe = clip_recipe(64, 64);
    std::vector<float> exact(recipe.values()), fast(recipe.values());
    decode_to_pixels(jpeg, {}, recipe, std::span(exact));
    recipe.decode_fast = true;
    decode_to_pixels(jpeg, {}, recipe, std::span(fast));
    double difference = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) difference += std::abs(exact[i] - fast[i]);
    difference /= static_cast<double>(exact.size());
    EXPECT_GT(difference, 0) << "the picture was decoded whole";
    EXPECT_LT(difference, 0.05);
}

TEST(to_pixels, takes_long_strips_and_refuses_to_square_them) {
    const Image strip{400'000, 2, std::vector<std::uint8_t>(400'000 * 6, 90)};
    auto recipe = clip_recipe(16, 16);
    std::vector<float> pixels(recipe.values());
    to_pixels(strip, recipe, std::span(pixels));
    EXPECT_EQ(pixels.front(), (static_cast<float>(90 * (1 / 255.0)) - clip_mean[0]) / clip_std[0]);
    recipe.pad_square = true;
    try {
        to_pixels(strip, recipe, std::span(pixels));
        FAIL();
    } catch (const UnreadableImage& error) {
        EXPECT_EQ(error.status(), PictureStatus::too_large);
    }
}

TEST(padded_to_square, centres_the_picture_on_the_mean_colour) {
    Image image{3, 1, {10, 20, 30, 40, 50, 60, 70, 80, 90}};
    const auto square = padded_to_square(image, clip_mean);
    ASSERT_EQ(square.width, 3);
    ASSERT_EQ(square.height, 3);
    EXPECT_EQ(square.rgb[0], 122);
    EXPECT_EQ(square.rgb[1], 116);
    EXPECT_EQ(square.rgb[2], 104);
    EXPECT_EQ(square.rgb[9], 10);
    EXPECT_EQ(square.rgb[26], 104);
}

}  // namespace
}  // namespace tg::pictures
