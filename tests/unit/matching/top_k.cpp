#include "taskgalaxy/matching/top_k.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "product.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::matching {
namespace {

std::vector<float> unit_rows(std::int64_t rows, std::int64_t dim, std::uint64_t seed) {
    RandomStream random(seed);
    std::vector<float> out(static_cast<std::size_t>(rows * dim));
    for (std::int64_t r = 0; r < rows; ++r) {
        double length = 0;
        for (std::int64_t d = 0; d < dim; ++d) {
            const auto x = random.unit() + random.unit() + random.unit() - 1.5;
            out[static_cast<std::size_t>(r * dim + d)] = static_cast<float>(x);
            length += x * x;
        }
        for (std::int64_t d = 0; d < dim; ++d)
            out[static_cast<std::size_t>(r * dim + d)] /= static_cast<float>(std::sqrt(length));
    }
    return out;
}

struct Found {
    std::vector<std::int64_t> indices;
    std::vector<double> scores;
};

// Every score in double precision, sorted: what top-k means.
Found by_sorting(const std::vector<float>& queries, const std::vector<float>& types, std::int64_t dim, int k) {
    Found found;
    const auto num_types = static_cast<std::int64_t>(types.size()) / dim;
    for (std::size_t q = 0; q < queries.size(); q += static_cast<std::size_t>(dim)) {
        std::vector<std::pair<double, std::int64_t>> all;
        for (std::int64_t t = 0; t < num_types; ++t) {
            double score = 0;
            for (std::int64_t d = 0; d < dim; ++d)
                score += static_cast<double>(queries[q + static_cast<std::size_t>(d)]) *
                         static_cast<double>(types[static_cast<std::size_t>(t * dim + d)]);
            all.emplace_back(-score, t);
        }
        std::sort(all.begin(), all.end());
        for (int r = 0; r < k; ++r) {
            found.indices.push_back(all[static_cast<std::size_t>(r)].second);
            found.scores.push_back(-all[static_cast<std::size_t>(r)].first);
        }
    }
    return found;
}

Found by_top_k(const std::vector<float>& queries, const std::vector<float>& types, std::int64_t dim, int k,
               int threads = 1, std::string_view arithmetic = "auto") {
    const auto num = queries.size() / static_cast<std::size_t>(dim);
    Found found{std::vector<std::int64_t>(num * static_cast<std::size_t>(k)),
                std::vector<double>(num * static_cast<std::size_t>(k))};
    TopK(types, dim, k, threads, arithmetic)(queries, found.indices, found.scores);
    return found;
}

// Every arithmetic that this processor has finds what sorting finds.
void expect_exact(const std::vector<float>& queries, const std::vector<float>& types, std::int64_t dim, int k) {
    const auto expected = by_sorting(queries, types, dim, k);
    for (const auto& arithmetic : product_kinds()) {
        SCOPED_TRACE(arithmetic);
        Found found;
        try {
            found = by_top_k(queries, types, dim, k, 1, arithmetic);
        } catch (const UsageError&) {
            continue;  // instructions that this processor lacks
        }
        EXPECT_EQ(found.indices, expected.indices);
        for (std::size_t i = 0; i < found.scores.size(); ++i)
            ASSERT_NEAR(found.scores[i], expected.scores[i], 1e-12 * (1 + std::abs(expected.scores[i])));
    }
}

// Queries and types that do not fill their blocks, dimensions that do not fill a vector.
struct Geometry {
    std::int64_t queries, types, dim;
    int k;
};
class TopKTest : public ::testing::TestWithParam<Geometry> {};

TEST_P(TopKTest, equals_sorting_every_score) {
    const auto [num_queries, num_types, dim, k] = GetParam();
    const auto queries = unit_rows(num_queries, dim, 1), types = unit_rows(num_types, dim, 2);
    expect_exact(queries, types, dim, k);
}

TEST_P(TopKTest, threads_and_neighbours_change_no_bit) {
    const auto [num_queries, num_types, dim, k] = GetParam();
    const auto queries = unit_rows(num_queries, dim, 3), types = unit_rows(num_types, dim, 4);
    const auto together = by_top_k(queries, types, dim, k, 1), threaded = by_top_k(queries, types, dim, k, 3);
    EXPECT_EQ(together.indices, threaded.indices);
    EXPECT_EQ(together.scores, threaded.scores);
    const auto last = std::vector<float>(queries.end() - dim, queries.end());
    const auto alone = by_top_k(last, types, dim, k);
    EXPECT_TRUE(std::equal(alone.indices.begin(), alone.indices.end(), together.indices.end() - k));
    EXPECT_TRUE(std::equal(alone.scores.begin(), alone.scores.end(), together.scores.end() - k));
}

INSTANTIATE_TEST_SUITE_P(of_many_shapes, TopKTest,
                         ::testing::Values(Geometry{1, 1, 1, 1}, Geometry{3, 17, 5, 17}, Geometry{64, 300, 16, 10},
                                           Geometry{500, 1025, 33, 10}, Geometry{97, 2500, 96, 20},
                                           Geometry{10, 3000, 768, 5}));

TEST(top_k, equal_scores_go_to_the_lower_index) {
    const std::int64_t dim = 24;
    auto types = unit_rows(40, dim, 5);
    std::vector<float> repeated;
    for (int copy = 0; copy < 50; ++copy)
        repeated.insert(repeated.end(), types.begin(), types.end());  // every vector fifty times
    const auto queries = unit_rows(30, dim, 6);
    expect_exact(queries, repeated, dim, 12);
    const auto found = by_top_k(queries, repeated, dim, 12);
    for (std::size_t i = 1; i < 12; ++i) EXPECT_EQ(found.indices[i] % 40, found.indices[0] % 40);
}

TEST(top_k, scores_that_differ_by_less_than_the_product_rounds_are_told_apart) {
    // Types that differ from one another in the last bits of one component.
    const std::int64_t dim = 256;
    const auto base = unit_rows(1, dim, 7);
    std::vector<float> types;
    for (int i = 0; i < 400; ++i) {
        auto row = base;
        row[0] = std::nextafter(base[0], 2.0f) + static_cast<float>((i * 37) % 400) * 1e-7f * base[0];
        types.insert(types.end(), row.begin(), row.end());
    }
    expect_exact(base, types, dim, 25);
}

TEST(top_k, vectors_like_those_of_clip_keep_their_order) {
    // A cone: all lie about one direction, of which one component is a hundred times the others; lengths differ by up
    // to a thousand.
    const std::int64_t dim = 200;
    const auto cone = [&](std::int64_t rows, std::uint64_t seed) {
        auto vectors = unit_rows(rows, dim, seed);
        for (std::int64_t r = 0; r < rows; ++r) {
            const auto row =
                std::span(vectors).subspan(static_cast<std::size_t>(r * dim), static_cast<std::size_t>(dim));
            for (auto& x : row) x = 0.3f * x + 0.05f;
            row[7] += 5.0f;
            for (auto& x : row) x *= std::pow(10.0f, static_cast<float>(r % 7) / 2 - 1.5f);
        }
        return vectors;
    };
    expect_exact(cone(60, 9), cone(900, 10), dim, 10);
}

TEST(top_k, zeros_and_numbers_next_to_zero_are_ordered_too) {
    const std::int64_t dim = 70;
    auto types = unit_rows(100, dim, 11), queries = unit_rows(4, dim, 12);
    std::fill_n(types.begin() + 3 * dim, dim, 0.0f);  // a type of zeros
    std::fill_n(queries.begin(), dim, 0.0f);          // a query of zeros: all scores are 0, the first k win
    for (std::int64_t d = 0; d < dim; ++d)
        queries[static_cast<std::size_t>(dim + d)] *= 1e-38f;  // and one whose inverse no float holds
    expect_exact(queries, types, dim, 9);
}

TEST(top_k, more_results_than_types_are_refused) {
    const auto types = unit_rows(5, 4, 8);
    EXPECT_THROW(TopK(types, 4, 6), UsageError);
    EXPECT_THROW(TopK(types, 4, 0), UsageError);
}

}  // namespace
}  // namespace tg::matching
