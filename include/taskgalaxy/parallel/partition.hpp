// Who does what: pure arithmetic on (items, rank, ranks), no communication. Work is cut by index, never by rank, so
// that results do not depend on the number of ranks.
#pragma once

#include <cstdint>

namespace tg::parallel {

// Half-open range of indices.
struct Slice {
    std::uint64_t begin = 0, end = 0;
    constexpr std::uint64_t size() const { return end - begin; }
    constexpr bool operator==(const Slice&) const = default;
};

// The contiguous share of `rank`; shares differ by at most one item. 128-bit product: items * ranks may pass 2^64.
constexpr Slice slice_of(std::uint64_t items, std::uint64_t rank, std::uint64_t ranks) {
    __extension__ using Wide = unsigned __int128;
    return {static_cast<std::uint64_t>(static_cast<Wide>(items) * rank / ranks),
            static_cast<std::uint64_t>(static_cast<Wide>(items) * (rank + 1) / ranks)};
}

// Parts of a fixed number of items; the last may be short.
struct Parts {
    std::uint64_t items = 0, items_per_part = 1;
    constexpr std::uint64_t count() const { return (items + items_per_part - 1) / items_per_part; }
    constexpr Slice part(std::uint64_t index) const {
        const auto begin = index * items_per_part;
        const auto end = begin + items_per_part;
        return {begin, end < items ? end : items};
    }
};

}  // namespace tg::parallel
