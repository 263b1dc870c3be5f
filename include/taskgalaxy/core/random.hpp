// Random numbers as pure functions of (seed, index): the same on every rank, in any order, after any restart.
// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based generator.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace tg {

constexpr std::uint64_t mix64(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
    return mix64(mix64(seed) ^ mix64(index + 0x632BE59BD9B4E019ull));
}
// In [0, 1), 53 random bits.
constexpr double random_unit(std::uint64_t seed, std::uint64_t index) {
    return static_cast<double>(random_bits(seed, index) >> 11) * 0x1.0p-53;
}

// A stream over the same function, for code that draws in sequence; satisfies UniformRandomBitGenerator.
class RandomStream {
public:
    using result_type = std::uint64_t;
    explicit constexpr RandomStream(std::uint64_t seed, std::uint64_t index = 0) : seed_(seed), index_(index) {}
    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return ~result_type{0}; }
    constexpr result_type operator()() { return random_bits(seed_, index_++); }
    constexpr double unit() { return random_unit(seed_, index_++); }
    // Uniform in [0, bound), bound > 0 (multiply-shift; the bias is below 2^-32 for bounds under 2^32).
    constexpr std::uint64_t below(std::uint64_t bound) {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>((*this)()) * bound) >> 64);
    }

private:
    std::uint64_t seed_, index_;
};

// Fisher-Yates with RandomStream: unlike std::shuffle its result is the same with every standard library.
template <class T> void shuffle(std::vector<T>& items, std::uint64_t seed) {
    RandomStream random(seed);
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace tg
