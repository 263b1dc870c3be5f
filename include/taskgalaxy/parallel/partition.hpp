// Who does what: pure arithmetic on (items, rank, ranks), no communication. Work is cut by index, never by rank, so
// that results do not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace tg::parallel {

// Half-open range of indices.
struct Slice {
    std::uint64_t begin = 0, end = 0;
    constexpr std::uint64_t size() const { return end - begin; }
    constexpr bool operator==(const Slice&) const = default;
    template <class Self> static constexpr auto fields(Self& self) { return std::tie(self.begin, self.end); }
};

// The contiguous share of `rank`; shares differ by at most one item. 128-bit product: items * ranks may pass 2^64.
constexpr Slice slice_of(std::uint64_t items, std::uint64_t rank, std::uint64_t ranks) {
    __extension__ using Wide = unsigned __int128;
    return {static_cast<std::uint64_t>(static_cast<Wide>(items) * rank / ranks),
            static_cast<std::uint64_t>(static_cast<Wide>(items) * (rank + 1) / ranks)};
}

// How work is to be cut: so many items, so many of them a part; the last may be short.
struct Cut {
    std::uint64_t items = 0, items_per_part = 1;
};

// A list of items as parts in order, without gap or overlap. Parts that are done already may have been cut otherwise,
// in another life: they stay as they are, and only what lies between them is cut anew.
class Tiling {
public:
    // Of `done`, what is empty, passes the end or overlaps a part before it is left out.
    Tiling(Cut cut, std::vector<Slice> done = {});

    std::uint64_t items() const { return parts_.empty() ? 0 : parts_.back().end; }
    std::uint64_t count() const { return parts_.size(); }
    Slice part(std::uint64_t index) const { return parts_[index]; }
    bool is_done(std::uint64_t index) const { return done_[index]; }
    // The part that `item` (< items()) lies in.
    std::uint64_t part_of(std::uint64_t item) const;

private:
    std::vector<Slice> parts_;
    std::vector<bool> done_;
};

}  // namespace tg::parallel
