#include "taskgalaxy/parallel/partition.hpp"

#include <algorithm>

namespace tg::parallel {

Tiling::Tiling(Cut cut, std::vector<Slice> done) {
    // Of two that begin together the longer one is kept: less is left to do.
    std::ranges::sort(done, [](Slice a, Slice b) { return std::pair(a.begin, b.end) < std::pair(b.begin, a.end); });
    std::uint64_t next = 0;
    const auto put = [&](Slice part, bool is_done) {
        parts_.push_back(part);
        done_.push_back(is_done);
        next = part.end;
    };
    const auto cut_until = [&](std::uint64_t end) {
        while (next < end) put({next, end - next > cut.items_per_part ? next + cut.items_per_part : end}, false);
    };
    for (const auto part : done) {
        if (part.begin < next || part.end <= part.begin || part.end > cut.items) continue;
        cut_until(part.begin);
        put(part, true);
    }
    cut_until(cut.items);
}

std::uint64_t Tiling::part_of(std::uint64_t item) const {
    const auto after = std::ranges::upper_bound(parts_, item, {}, &Slice::begin);
    return static_cast<std::uint64_t>(after - parts_.begin()) - 1;
}

}  // namespace tg::parallel
