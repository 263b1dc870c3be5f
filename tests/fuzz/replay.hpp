// A main for fuzz targets where there is no libFuzzer: FILES... are replayed, then `-runs=N` times one of them is
// mutated (bytes changed, cut, repeated, spliced with another) and tried. Deterministic for `-seed=S`; a crash leaves
// the input as crash-input.
#pragma once

#ifndef TASKGALAXY_LIBFUZZER
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/random.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace tg::fuzz {

using Input = std::vector<std::uint8_t>;

inline Input read_input(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline Input mutated(const std::vector<Input>& inputs, RandomStream& random) {
    Input input = inputs[random.below(inputs.size())];
    const auto place = [&] { return input.empty() ? 0 : random.below(input.size()); };
    for (auto changes = 1 + random.below(8); changes-- > 0 && !input.empty();) {
        const auto at = static_cast<std::ptrdiff_t>(place());
        switch (random.below(6)) {
            case 0: input[static_cast<std::size_t>(at)] ^= static_cast<std::uint8_t>(1u << random.below(8)); break;
            case 1: input[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(random.below(256)); break;
            case 2: input[static_cast<std::size_t>(at)] = random.below(2) ? 0xFF : 0; break;
            case 3: input.resize(static_cast<std::size_t>(at)); break;
            case 4:
                input.insert(input.begin() + at, random.below(64), static_cast<std::uint8_t>(random.below(256)));
                break;
            default: {
                const auto& other = inputs[random.below(inputs.size())];
                if (other.empty()) break;
                const auto from = random.below(other.size()),
                           count = std::min<std::uint64_t>(random.below(200), other.size() - from);
                input.insert(input.begin() + at, other.begin() + static_cast<std::ptrdiff_t>(from),
                             other.begin() + static_cast<std::ptrdiff_t>(from + count));
            }
        }
    }
    return input;
}

inline int replay(int argc, char** argv) {
    std::uint64_t runs = 0, seed = 1;
    std::vector<Input> inputs;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument.starts_with("-runs=")) runs = std::strtoull(argv[i] + 6, nullptr, 10);
        else if (argument.starts_with("-seed=")) seed = std::strtoull(argv[i] + 6, nullptr, 10);
        else if (std::filesystem::is_directory(argument)) {
            std::vector<std::filesystem::path> files;
            for (const auto& entry : std::filesystem::directory_iterator(argument))
                if (entry.is_regular_file()) files.push_back(entry.path());
            std::sort(files.begin(), files.end());
            for (const auto& file : files) inputs.push_back(read_input(file));
        } else inputs.push_back(read_input(argument));
    }
    if (inputs.empty()) return std::fprintf(stderr, "usage: %s [-runs=N] [-seed=S] FILES OR FOLDERS\n", argv[0]), 2;
    const auto try_one = [](const Input& input) {
        std::ofstream("crash-input", std::ios::binary)
            .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
        LLVMFuzzerTestOneInput(input.data(), input.size());
    };
    for (const auto& input : inputs) try_one(input);
    RandomStream random(seed);
    for (std::uint64_t run = 0; run < runs; ++run) try_one(mutated(inputs, random));
    std::filesystem::remove("crash-input");
    std::printf("%zu inputs replayed, %llu mutations tried\n", inputs.size(), static_cast<unsigned long long>(runs));
    return 0;
}

}  // namespace tg::fuzz

int main(int argc, char** argv) { return tg::fuzz::replay(argc, argv); }
#endif
