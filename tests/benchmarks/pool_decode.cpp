// Times decoding and preprocessing on one thread, for tests/benchmarks/decode.py: pool_decode FOLDER SIZE REPEATS
// [--fast] [--dump FILE]. Files are read into memory first. Prints one JSON line; --dump writes the float pixels of all
// pictures, in name order.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <vector>

#include "taskgalaxy/pictures/preprocess.hpp"

namespace {

std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    std::vector<std::byte> bytes(static_cast<std::size_t>(in.tellg()));
    in.seekg(0).read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return bytes;
}

// Milliseconds of processor time a picture (others may use the machine), the best of `repeats` rounds over all.
template <class Work> double best_ms(std::size_t pictures, int repeats, Work work) {
    double best = 1e300;
    for (int round = 0; round < repeats; ++round) {
        const auto start = std::clock();
        for (std::size_t i = 0; i < pictures; ++i) work(i);
        best = std::min(best, static_cast<double>(std::clock() - start) * 1000 / CLOCKS_PER_SEC);
    }
    return best / static_cast<double>(pictures);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return fmt::print(stderr, "usage: pool_decode FOLDER SIZE REPEATS [--fast] [--dump FILE]\n"), 2;
    std::vector<std::filesystem::path> names;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    std::vector<std::vector<std::byte>> files;
    for (const auto& name : names) files.push_back(bytes_of(name));

    tg::pictures::ImageRecipe recipe;
    recipe.size = recipe.shortest_edge = std::atoi(argv[2]);
    recipe.mean = {0.48145466f, 0.4578275f, 0.40821073f};
    recipe.std = {0.26862954f, 0.26130258f, 0.27577711f};
    const int repeats = std::atoi(argv[3]);
    std::ofstream dump;
    for (int i = 4; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--fast") recipe.decode_fast = true;
        else if (std::string_view(argv[i]) == "--dump" && i + 1 < argc) dump.open(argv[++i], std::ios::binary);
    }
    std::vector<float> pixels(recipe.values());
    for (const auto& file : files) {
        tg::pictures::decode_to_pixels(file, {}, recipe, std::span(pixels));
        if (dump.is_open())
            dump.write(reinterpret_cast<const char*>(pixels.data()),
                       static_cast<std::streamsize>(pixels.size() * sizeof(float)));
    }
    std::vector<tg::pictures::Image> images;
    for (const auto& file : files) images.push_back(tg::pictures::decode(file));
    const double all = best_ms(files.size(), repeats, [&](std::size_t i) {
        tg::pictures::decode_to_pixels(files[i], {}, recipe, std::span(pixels));
    });
    const double decode = best_ms(files.size(), repeats, [&](std::size_t i) { tg::pictures::decode(files[i]); });
    const double preprocess = best_ms(
        files.size(), repeats, [&](std::size_t i) { tg::pictures::to_pixels(images[i], recipe, std::span(pixels)); });
    fmt::print("{{\"pictures\": {}, \"all_ms\": {:.4f}, \"decode_ms\": {:.4f}, \"preprocess_ms\": {:.4f}}}\n",
               files.size(), all, decode, preprocess);
    return 0;
}
