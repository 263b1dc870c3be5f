// Pictures as tiles, so that a tower of few pixels sees large pictures: resized to the grid of S x S tiles whose shape
// is closest to the picture's, cut row by row, and a thumbnail of the whole behind them. The grids, tiles and numbers
// of InternVL 1.5 and 2 (OpenGVLab InternVL, internvl/train/dataset.py: dynamic_preprocess, build_transform without
// augmentation).
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "taskgalaxy/pictures/preprocess.hpp"

namespace tg::pictures {

inline constexpr std::array<float, 3> imagenet_mean{0.485f, 0.456f, 0.406f}, imagenet_std{0.229f, 0.224f, 0.225f};

struct TileRule {
    int min_tiles = 1, max_tiles = 1;  // the thumbnail not counted
    bool thumbnail = false;            // of pictures that take more than one tile
};

struct TileGrid {
    int columns = 1, rows = 1;
    int tiles() const { return columns * rows; }
};
// Least difference of width / height; between equals the grid of more tiles, if the picture has more than half of its
// pixels.
TileGrid closest_grid(int width, int height, int tile_size, const TileRule& rule);

// How pictures become what a vision-language model sees: [tiles, 3, S, S].
struct PictureRecipe {
    ImageRecipe tile;  // with tiles only its size and numbers are used
    TileRule rule;     // max_tiles 1: one square, made by `tile`
    bool tiled() const { return rule.max_tiles > 1; }
};

// tiles * recipe.tile.values() floats; one tile where the recipe has no tiles. Throws UnreadableImage. Thread-safe.
std::vector<float> decode_to_tiles(std::span<const std::byte> bytes, const DecodeOptions& options,
                                   const PictureRecipe& recipe);

}  // namespace tg::pictures
