#include "selection.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace tg::dataset {
namespace {

// Type t has counts[t] samples.
std::vector<Candidate> make_candidates(const std::vector<int>& counts) {
    std::vector<Candidate> candidates;
    for (std::size_t type = 0; type < counts.size(); ++type)
        for (int i = 0; i < counts[type]; ++i)
            candidates.push_back({candidates.size(), static_cast<std::int64_t>(type),
                                  digest_of(std::to_string(type) + "/" + std::to_string(i))});
    return candidates;
}

std::map<std::int64_t, int> types_of(const std::vector<Candidate>& candidates, const std::vector<std::size_t>& rows) {
    std::map<std::int64_t, int> counts;
    for (const auto row : rows) ++counts[candidates[row].type];
    return counts;
}

}  // namespace

TEST(selection, without_limits_keeps_every_row_in_order) {
    const auto candidates = make_candidates({3, 5});
    EXPECT_EQ(select_samples(candidates, {}), (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(selection, takes_bands_types_and_numbers_as_told) {
    const auto candidates = make_candidates({4, 20, 120, 9});
    ExportSettings settings;
    settings.bands = {"11-50", "1-10"};
    EXPECT_EQ(types_of(candidates, select_samples(candidates, settings)),
              (std::map<std::int64_t, int>{{0, 4}, {1, 20}, {3, 9}}));
    settings.max_per_type = 5;
    EXPECT_EQ(types_of(candidates, select_samples(candidates, settings)),
              (std::map<std::int64_t, int>{{0, 4}, {1, 5}, {3, 5}}));
    settings.samples = 7;
    EXPECT_EQ(select_samples(candidates, settings).size(), 7u);
    settings = {};
    settings.max_types = 2;
    EXPECT_EQ(types_of(candidates, select_samples(candidates, settings)).size(), 2u);
}

TEST(selection, depends_on_content_and_seed_and_not_on_order) {
    auto candidates = make_candidates({40, 40});
    ExportSettings settings;
    settings.samples = 10;
    const auto identities = [&](const std::vector<Candidate>& from) {
        std::set<Digest> out;
        for (const auto row : select_samples(from, settings))
            out.insert(std::find_if(from.begin(), from.end(), [&](const auto& c) { return c.row == row; })->identity);
        return out;
    };
    const auto chosen = identities(candidates);
    std::reverse(candidates.begin(), candidates.end());
    EXPECT_EQ(identities(candidates), chosen);
    settings.seed = 2;
    EXPECT_NE(identities(candidates), chosen);
}

}  // namespace tg::dataset
