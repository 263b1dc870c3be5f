#include "taskgalaxy/pictures/tiles.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tg::pictures {

TileGrid closest_grid(int width, int height, int tile_size, const TileRule& rule) {
    std::vector<TileGrid> grids;
    for (int columns = 1; columns <= rule.max_tiles; ++columns)
        for (int rows = 1; columns * rows <= rule.max_tiles; ++rows)
            if (columns * rows >= rule.min_tiles) grids.push_back({columns, rows});
    std::stable_sort(grids.begin(), grids.end(),
                     [](const TileGrid& a, const TileGrid& b) { return a.tiles() < b.tiles(); });
    const double shape = static_cast<double>(width) / height, pixels = static_cast<double>(width) * height;
    double least = std::numeric_limits<double>::infinity();
    TileGrid best;
    for (const auto& grid : grids) {
        const double difference = std::abs(shape - static_cast<double>(grid.columns) / grid.rows);
        const bool large_enough = pixels > 0.5 * tile_size * tile_size * grid.columns * grid.rows;
        if (difference < least || (difference == least && large_enough)) best = grid;
        least = std::min(least, difference);
    }
    return best;
}

std::vector<float> decode_to_tiles(std::span<const std::byte> bytes, const DecodeOptions& options,
                                   const PictureRecipe& recipe) {
    const auto values = recipe.tile.values();
    std::vector<float> pixels;
    if (!recipe.tiled()) {
        pixels.resize(values);
        decode_to_pixels(bytes, options, recipe.tile, pixels);
        return pixels;
    }
    const int size = recipe.tile.size;
    const auto numbers = ImageRecipe::exact(size, recipe.tile.mean, recipe.tile.std);
    const auto picture = decode(bytes, options);
    const auto add = [&](const Image& tile) {
        pixels.resize(pixels.size() + values);
        to_pixels(tile, numbers, std::span(pixels).last(values));
    };
    const auto grid = closest_grid(picture.width, picture.height, size, recipe.rule);
    const auto whole = resized(picture, size * grid.columns, size * grid.rows, recipe.tile.filter);
    for (int row = 0; row < grid.rows; ++row)
        for (int column = 0; column < grid.columns; ++column)
            add(cropped(whole, column * size, row * size, size, size));
    if (recipe.rule.thumbnail && grid.tiles() > 1) add(picture);
    return pixels;
}

}  // namespace tg::pictures
