#include "taskgalaxy/report/overlap.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>

#include "html.hpp"
#include "run_data.hpp"
#include "taskgalaxy/core/error.hpp"

namespace tg::report {
namespace {

using report::whole;

// The files of one run that matching left.
struct Matched {
    explicit Matched(const run::Paths& paths)
        : pool(report::read_pool(paths)), taxonomy(report::read_taxonomy(paths)), found(report::read_matches(paths)) {
        if (!pool || !taxonomy || !found)
            throw InputError(fmt::format("{}: there are no matches", paths.file(run::files::matches).string()),
                             "run the match stage first");
    }
    const run::MatchRows& matches() const { return *found; }
    bool usable(std::size_t picture) const { return matches().type[picture * matches().k] >= 0; }
    std::uint64_t leaves() const { return taxonomy->leaves().size(); }

    std::vector<MatchOverlap::Depth> depths(const std::vector<std::uint64_t>& wanted) const {
        std::vector<std::uint64_t> counts(taxonomy->size());
        std::vector<MatchOverlap::Depth> out;
        std::uint64_t rank = 0, pictures = 0;
        for (const auto k : wanted) {
            double last_scores = 0;
            for (; rank < k; ++rank) {
                last_scores = 0;
                pictures = 0;
                for (std::size_t i = 0; i < matches().images; ++i) {
                    if (!usable(i)) continue;
                    ++counts[static_cast<std::size_t>(matches().type[i * matches().k + rank])];
                    last_scores += matches().score[i * matches().k + rank];
                    ++pictures;
                }
            }
            const auto matched = static_cast<std::uint64_t>(
                std::count_if(counts.begin(), counts.end(), [](std::uint64_t n) { return n > 0; }));
            out.push_back({k, matched,
                           static_cast<double>(pictures * k) / static_cast<double>(std::max<std::uint64_t>(matched, 1)),
                           last_scores / static_cast<double>(std::max<std::uint64_t>(pictures, 1))});
        }
        return out;
    }

    std::optional<pool::PoolTable> pool;
    std::optional<taxonomy::Taxonomy> taxonomy;
    std::optional<run::MatchRows> found;
};

}  // namespace

MatchOverlap match_overlap(const run::Paths& first_paths, const run::Paths& second_paths,
                           std::vector<std::uint64_t> depths) {
    const Matched first(first_paths);
    const bool alone = first_paths.root() == second_paths.root();
    const auto other = alone ? nullptr : std::make_unique<Matched>(second_paths);
    const auto& second = alone ? first : *other;

    const auto deepest = std::min(first.matches().k, second.matches().k);
    std::sort(depths.begin(), depths.end());
    depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
    std::erase_if(depths, [&](std::uint64_t k) { return k == 0 || k > deepest; });
    if (depths.empty()) depths.push_back(deepest);

    MatchOverlap out{.types = second.leaves(),
                     .depths = depths,
                     .first = first.depths(depths),
                     .shared = std::vector(depths.size(), std::vector<double>(depths.size()))};
    if (!alone) out.second = second.depths(depths);

    // The second run's row of each type of the first; -1: it has none of that path.
    std::vector<std::int64_t> same_type(first.taxonomy->size());
    for (std::size_t row = 0; row < same_type.size(); ++row) {
        const auto found = second.taxonomy->find(first.taxonomy->path(row));
        same_type[row] = found ? static_cast<std::int64_t>(*found) : -1;
    }
    std::unordered_map<std::string_view, std::size_t> by_uri;
    for (std::size_t i = 0; i < second.matches().images; ++i) by_uri.emplace(second.pool->uri[i], i);

    const auto k1 = first.matches().k, k2 = second.matches().k;
    std::uint64_t same_best = 0;
    for (std::size_t i = 0; i < first.matches().images; ++i) {
        const auto found = by_uri.find(first.pool->uri[i]);
        if (found == by_uri.end() || !first.usable(i) || !second.usable(found->second)) continue;
        ++out.pictures;
        const auto* theirs = second.matches().type.data() + found->second * k2;
        for (std::uint64_t rank = 0; rank < depths.back(); ++rank) {
            const auto type = same_type[static_cast<std::size_t>(first.matches().type[i * k1 + rank])];
            const auto place =
                static_cast<std::uint64_t>(std::find(theirs, theirs + k2, type) - theirs);  // k2 where it is not there
            same_best += rank == 0 && place == 0;
            for (std::size_t a = 0; a < depths.size(); ++a)
                for (std::size_t b = 0; b < depths.size(); ++b)
                    out.shared[a][b] += rank < depths[a] && place < depths[b];
        }
    }
    if (out.pictures == 0)
        throw InputError(
            fmt::format("{} and {} share no usable picture", first_paths.root().string(), second_paths.root().string()),
            "compare runs over the same sources");
    for (std::size_t a = 0; a < depths.size(); ++a)
        for (auto& share : out.shared[a]) share /= static_cast<double>(depths[a] * out.pictures);
    out.same_best = static_cast<double>(same_best) / static_cast<double>(out.pictures);
    return out;
}

std::string overlap_text(const MatchOverlap& overlap) {
    const bool two = !overlap.second.empty();
    std::string out = fmt::format("{} pictures{}, {} task types\n", whole(overlap.pictures),
                                  two ? " usable in both runs" : "", whole(overlap.types));
    const auto describe = [&](const char* whose, const std::vector<MatchOverlap::Depth>& depths) {
        for (const auto& depth : depths)
            out += fmt::format(
                "{}first {:>3}: {:>7} types matched ({:.1f} %), {:.1f} pictures each; mean cosine of candidate {}: "
                "{:.4f}\n",
                whose, depth.k, whole(depth.types_matched),
                100.0 * static_cast<double>(depth.types_matched) / static_cast<double>(overlap.types),
                depth.images_per_type, depth.k, depth.mean_score);
    };
    describe(two ? "run 1, " : "", overlap.first);
    describe("run 2, ", overlap.second);
    if (two) out += fmt::format("same best type: {:.1f} % of pictures\n", 100 * overlap.same_best);
    out += fmt::format("share of a picture's first k types {}, and by chance:\n{:>8}",
                       two ? "of run 1 that are among the first m of run 2" : "that are among its first m", "k \\ m");
    for (const auto m : overlap.depths) out += fmt::format("{:>9}", m);
    for (std::size_t a = 0; a < overlap.depths.size(); ++a) {
        out += fmt::format("\n{:>8}", overlap.depths[a]);
        for (const double share : overlap.shared[a]) out += fmt::format("{:>7.1f} %", 100 * share);
    }
    out += fmt::format("\n{:>8}", "chance");
    for (const auto m : overlap.depths)
        out += fmt::format("{:>7.2f} %", 100.0 * static_cast<double>(m) / static_cast<double>(overlap.types));
    return out + "\n";
}

}  // namespace tg::report
