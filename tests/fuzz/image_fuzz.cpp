// Fuzz target for the image front door: any bytes through header check, full decode and the fused
// decode-and-preprocess. Only UnreadableImage may come out. clang: libFuzzer; otherwise replay.hpp's main replays and
// mutates the files it is given.
#include <cstdint>
#include <vector>

#include "replay.hpp"
#include "taskgalaxy/pictures/preprocess.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    tg::pictures::DecodeOptions options;
    options.max_pixels = 1 << 22;  // decoding must stay fast enough to fuzz
    options.exif_rotate = size % 2 == 1;
    const auto attempt = [](auto work) {
        try {
            work();
        } catch (const tg::pictures::UnreadableImage&) {  // the one answer besides a picture
        }
    };
    attempt([&] { tg::pictures::probe(bytes, options); });
    attempt([&] { tg::pictures::verify(bytes, options); });
    attempt([&] {
        const auto image = tg::pictures::decode(bytes, options);
        if (image.rgb.size() !=
            std::size_t{3} * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height))
            __builtin_trap();
    });
    tg::pictures::ImageRecipe recipe;
    recipe.size = 8;
    recipe.shortest_edge = 12;
    recipe.pad_square = size % 3 == 0;
    recipe.decode_fast = size % 5 == 0;
    std::vector<float> pixels(recipe.values());
    attempt([&] { tg::pictures::decode_to_pixels(bytes, options, recipe, std::span(pixels)); });
    return 0;
}
