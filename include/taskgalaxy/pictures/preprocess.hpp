// From pictures to what vision towers take: resize, centre crop, scale, normalise. Numbers equal those of transformers'
// PIL-backed image processors (CLIPImageProcessor, SiglipImageProcessor; LLaVA's expand-to-square): same uint8 after
// resizing, and floats from a table that repeats their order of rounding (double product with rescale_factor, then
// float32).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>

#include "taskgalaxy/pictures/image.hpp"

namespace tg::pictures {

struct ImageRecipe {
    enum class Resize {
        shortest_edge,
        exact
    };  // keep the aspect ratio, or go straight to resize_width x resize_height

    int size = 224;  // side of the square result, S
    Resize resize = Resize::shortest_edge;
    int shortest_edge = 224;  // used where resize == shortest_edge; the centre S x S is cut out after
    // First paste on a square canvas of the mean colour (LLaVA image_aspect_ratio=pad). The canvas, too, has at most
    // default_max_pixels (a side of 13,377), else UnreadableImage (too_large).
    bool pad_square = false;
    Filter filter = Filter::bicubic;
    double rescale = 1.0 / 255.0;
    std::array<float, 3> mean{}, std{1, 1, 1};
    bool decode_fast = false;  // allow DCT-scaled JPEG decoding: pixels then differ slightly from Pillow's

    // preprocessor_config.json of a Hugging Face folder (CLIP, SigLIP, LLaVA, InternVL, old and new spellings). Throws
    // InputError naming the file and the key it cannot follow.
    static ImageRecipe read(const std::filesystem::path& model_folder);
    // Straight to S x S, as SigLIP and InternVL's tiles.
    static ImageRecipe exact(int size, std::array<float, 3> mean, std::array<float, 3> std);

    std::size_t values() const {
        return std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    }
};

// chw: [3, S, S], recipe.values() long. Floats, or bfloat16 bits rounded to nearest even.
void to_pixels(const Image& image, const ImageRecipe& recipe, std::span<float> chw);
void to_pixels(const Image& image, const ImageRecipe& recipe, std::span<std::uint16_t> chw_bf16);

// Decode and to_pixels in one pass: the same numbers, but only the rows and columns that the crop keeps are ever
// computed, and the full picture never lies in memory where its format allows. What follows the last needed row is not
// read. Throws UnreadableImage.
void decode_to_pixels(std::span<const std::byte> bytes, const DecodeOptions& options, const ImageRecipe& recipe,
                      std::span<float> chw);
void decode_to_pixels(std::span<const std::byte> bytes, const DecodeOptions& options, const ImageRecipe& recipe,
                      std::span<std::uint16_t> chw_bf16);

// On a square canvas of the long side, filled with int(255 * mean) and pasted at floor((long - short) / 2).
Image padded_to_square(const Image& image, const std::array<float, 3>& mean);

}  // namespace tg::pictures
