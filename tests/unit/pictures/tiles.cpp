// Grids and pixels of tiles against a reference made with Pillow (tests/fixtures/internvl/make.py).
#include "taskgalaxy/pictures/tiles.hpp"

#include <cstring>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "fixtures.hpp"
#include "taskgalaxy/core/text.hpp"

namespace {

using nlohmann::json;
const auto folder = std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/internvl";

// One tensor of floats of a safetensors file.
std::vector<float> floats(const std::filesystem::path& file, const std::string& name) {
    const auto bytes = tg::read_text_file(file);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    const auto offsets = json::parse(bytes.substr(8, length)).at(name).at("data_offsets");
    std::vector<float> values((offsets[1].get<std::size_t>() - offsets[0].get<std::size_t>()) / 4);
    std::memcpy(values.data(), bytes.data() + 8 + length + offsets[0].get<std::size_t>(), values.size() * 4);
    return values;
}

TEST(Tiles, lie_in_the_grid_of_the_reference) {
    const auto all = json::parse(std::ifstream(folder / "conversations.json"))["grids"];
    ASSERT_GE(all.size(), 150u);
    for (const auto& row : all) {
        const auto grid = tg::pictures::closest_grid(row[0].get<int>(), row[1].get<int>(), 448,
                                                     {row[2].get<int>(), row[3].get<int>(), true});
        EXPECT_EQ(grid.columns, row[4].get<int>()) << row;
        EXPECT_EQ(grid.rows, row[5].get<int>()) << row;
    }
}

TEST(Tiles, have_the_pixels_of_pillow_and_a_thumbnail_behind_them) {
    tg::pictures::PictureRecipe recipe{
        tg::pictures::ImageRecipe::exact(16, tg::pictures::imagenet_mean, tg::pictures::imagenet_std), {1, 6, true}};
    for (const auto* name : {"recipe_landscape", "recipe_portrait", "recipe_strip"}) {
        const auto bytes = tg::read_text_file(std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/pool/pictures" /
                                              (std::string(name) + ".jpg"));
        const auto got = tg::pictures::decode_to_tiles(std::as_bytes(std::span(bytes)), {}, recipe),
                   wanted = floats(folder / "expected.safetensors", std::string("tiles.") + name);
        ASSERT_EQ(got.size(), wanted.size()) << name;
        for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-6) << name << ' ' << i;
        auto one = recipe;
        one.rule = {};
        const auto whole = tg::pictures::decode_to_tiles(std::as_bytes(std::span(bytes)), {}, one);
        ASSERT_EQ(whole.size(), recipe.tile.values());
        EXPECT_TRUE(std::equal(whole.begin(), whole.end(), got.end() - static_cast<std::ptrdiff_t>(whole.size())))
            << name;  // the thumbnail is the picture without tiles
    }
}

}  // namespace
