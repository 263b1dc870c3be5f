#include "resample.hpp"

#include <cstring>

#include "fixtures.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::pictures {
namespace {

using namespace test;

struct Resizing {
    std::string file, filter;
    int width, height;
};

std::vector<Resizing> resizings() {
    std::vector<Resizing> found;
    for (const auto& entry : std::filesystem::directory_iterator(picture_folder)) {
        const auto name = entry.path().filename().string();
        char filter[20];
        Resizing r;
        if (std::sscanf(name.c_str(), "resized_%19[a-z]_%dx%d.rgb", filter, &r.width, &r.height) != 3) continue;
        r.file = name, r.filter = filter;
        found.push_back(r);
    }
    return found;
}

Filter filter_of(const std::string& name) {
    return name == "lanczos"    ? Filter::lanczos
           : name == "bilinear" ? Filter::bilinear
           : name == "box"      ? Filter::box
           : name == "hamming"  ? Filter::hamming
                                : Filter::bicubic;
}

Image random_image(int width, int height, std::uint64_t seed) {
    Image image{width, height,
                std::vector<std::uint8_t>(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3)};
    RandomStream random(seed);
    for (auto& v : image.rgb) {
        const auto draw = random.below(4);
        v = static_cast<std::uint8_t>(draw == 0   ? 0
                                      : draw == 1 ? 255
                                                  : random.below(256));  // extremes make the sums overshoot
    }
    return image;
}

Image resampled(const Image& image, int width, int height, const ResamplePasses& passes) {
    Image out{width, height,
              std::vector<std::uint8_t>(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3)};
    ImageRows rows(image);
    const auto x = Axis::make(image.width, width, Filter::bicubic, 0, width),
               y = Axis::make(image.height, height, Filter::bicubic, 0, height);
    resample(
        rows, x, y,
        [&](int row, const std::uint8_t* rgb) {
            std::memcpy(out.rgb.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(width) * 3, rgb,
                        static_cast<std::size_t>(width) * 3);
        },
        passes);
    return out;
}

TEST(resized, gives_the_integers_of_Pillow_for_every_filter) {
    const auto source = expected_image("resize_source.rgb");
    const auto all = resizings();
    ASSERT_GE(all.size(), 16u);
    for (const auto& r : all)
        EXPECT_TRUE(same(resized(source, r.width, r.height, filter_of(r.filter)), expected_image(r.file))) << r.file;
}

class ResizedByVectors : public ::testing::TestWithParam<std::pair<const char*, const ResamplePasses* (*)()>> {};

TEST_P(ResizedByVectors, is_the_same_as_without) {
    const auto* passes = GetParam().second();
    if (!passes) GTEST_SKIP() << "this processor has no " << GetParam().first;
    RandomStream random(5);
    for (int round = 0; round < 60; ++round) {
        const auto side = [&](std::uint64_t most) { return static_cast<int>(1 + random.below(most)); };
        const auto image = random_image(side(150), side(150), static_cast<std::uint64_t>(round));
        const int width = side(120), height = side(120);
        EXPECT_TRUE(same(resampled(image, width, height, *passes), resampled(image, width, height, portable_passes())))
            << image.width << "x" << image.height << " to " << width << "x" << height;
    }
}

INSTANTIATE_TEST_SUITE_P(of_both_kinds, ResizedByVectors,
                         ::testing::Values(std::pair{"AVX2", &avx2_passes},
                                           std::pair{"AVX-512 with VBMI and VNNI", &avx512_passes}));

TEST(resized, refuses_a_size_below_one_pixel) {
    const auto image = random_image(4, 4, 1);
    EXPECT_THROW(resized(image, 0, 4), InputError);
    EXPECT_THROW(resized(image, 4, -1), InputError);
    EXPECT_THROW(resized(image, 2, 2, static_cast<Filter>(0)), InputError);
}

TEST(cropped, takes_the_box_and_refuses_one_outside) {
    const auto image = random_image(9, 7, 2);
    const auto box = cropped(image, 2, 3, 4, 2);
    ASSERT_EQ(box.rgb.size(), 24u);
    EXPECT_EQ(box.rgb[0], image.rgb[(3 * 9 + 2) * 3]);
    EXPECT_EQ(box.rgb[23], image.rgb[(4 * 9 + 5) * 3 + 2]);
    EXPECT_THROW(cropped(image, 6, 0, 4, 2), InputError);
    EXPECT_THROW(cropped(image, -1, 0, 4, 2), InputError);
}

TEST(Axis, keeps_exactly_the_samples_asked_for) {
    const auto whole = Axis::make(640, 298, Filter::bicubic, 0, 298),
               part = Axis::make(640, 298, Filter::bicubic, 37, 261);
    ASSERT_EQ(part.out(), 224);
    for (std::size_t i = 0; i < 224; ++i) {
        EXPECT_EQ(part.first[i], whole.first[i + 37]);
        EXPECT_EQ(part.count[i], whole.count[i + 37]);
        for (std::size_t t = 0; t < static_cast<std::size_t>(part.stride); ++t)
            EXPECT_EQ(part.weights[i * static_cast<std::size_t>(part.stride) + t],
                      whole.weights[(i + 37) * static_cast<std::size_t>(whole.stride) + t]);
    }
    EXPECT_GT(part.begin(), 70);
    EXPECT_LT(part.end(), 570);
}

}  // namespace
}  // namespace tg::pictures
