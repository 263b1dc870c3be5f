#include "selection.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/taxonomy/bands.hpp"

namespace tg::dataset {
namespace {

std::uint64_t draw(const Digest& identity, std::int64_t seed) {
    std::uint64_t bits;
    std::memcpy(&bits, identity.bytes.data(), sizeof bits);
    return random_bits(static_cast<std::uint64_t>(seed), bits);
}

// Keeps the `limit` candidates with the smallest draws; the digest breaks ties.
void keep_lowest(std::vector<Candidate>& candidates, std::int64_t limit, std::int64_t seed) {
    if (limit <= 0 || candidates.size() <= static_cast<std::size_t>(limit)) return;
    const auto lower = [seed](const Candidate& a, const Candidate& b) {
        return std::pair(draw(a.identity, seed), a.identity) < std::pair(draw(b.identity, seed), b.identity);
    };
    std::nth_element(candidates.begin(), candidates.begin() + limit, candidates.end(), lower);
    candidates.resize(static_cast<std::size_t>(limit));
}

}  // namespace

std::vector<std::size_t> select_samples(const std::vector<Candidate>& candidates, const ExportSettings& settings) {
    std::map<std::int64_t, std::vector<Candidate>> by_type;
    for (const auto& candidate : candidates) by_type[candidate.type].push_back(candidate);

    if (!settings.bands.empty())
        std::erase_if(by_type, [&](const auto& entry) {
            return std::find(settings.bands.begin(), settings.bands.end(), taxonomy::band_of(entry.second.size())) ==
                   settings.bands.end();
        });

    if (settings.max_types > 0 && by_type.size() > static_cast<std::size_t>(settings.max_types)) {
        std::vector<std::pair<std::uint64_t, std::int64_t>> order;
        for (const auto& [type, list] : by_type)
            order.emplace_back(random_bits(static_cast<std::uint64_t>(settings.seed), static_cast<std::uint64_t>(type)),
                               type);
        std::sort(order.begin(), order.end());
        for (std::size_t i = static_cast<std::size_t>(settings.max_types); i < order.size(); ++i)
            by_type.erase(order[i].second);
    }

    std::vector<Candidate> chosen;
    for (auto& [type, list] : by_type) {
        keep_lowest(list, settings.max_per_type, settings.seed);
        chosen.insert(chosen.end(), list.begin(), list.end());
    }
    keep_lowest(chosen, settings.samples, settings.seed);

    std::vector<std::size_t> rows;
    for (const auto& candidate : chosen) rows.push_back(candidate.row);
    std::sort(rows.begin(), rows.end());
    return rows;
}

}  // namespace tg::dataset
