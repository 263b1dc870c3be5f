#include "taskgalaxy/taxonomy/duplicates.hpp"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "taskgalaxy/taxonomy/path.hpp"

using namespace tg;
using namespace tg::taxonomy;
using testing::ElementsAre;

namespace {

// Texts are angles on the unit circle, in degrees.
Embedder by_angle() {
    return [](const std::vector<std::string>& texts) {
        std::vector<float> rows;
        for (const auto& text : texts) {
            const auto angle = std::stod(text) * std::acos(-1.0) / 180;
            rows.push_back(static_cast<float>(std::cos(angle)));
            rows.push_back(static_cast<float>(std::sin(angle)));
        }
        return rows;
    };
}

}  // namespace

TEST(near_duplicates, lose_to_the_earlier_text) {
    DuplicateFilter filter(by_angle(), std::cos(10 * std::acos(-1.0) / 180));
    EXPECT_THAT(filter.accept({"0", "5", "20", "40"}), ElementsAre(true, false, true, true));
    EXPECT_THAT(filter.accept({"36", "60", "63"}), ElementsAre(false, true, false));
    ASSERT_EQ(filter.dropped().size(), 3u);
    EXPECT_EQ(filter.dropped()[0].text, "5");
    EXPECT_EQ(filter.dropped()[0].other, "0");
    EXPECT_EQ(filter.dropped()[1].text, "36");
    EXPECT_EQ(filter.dropped()[1].other, "40");
    const auto nearest = filter.nearest(2);
    ASSERT_EQ(nearest.size(), 2u);
    EXPECT_NEAR(nearest[0].cosine, std::cos(20 * std::acos(-1.0) / 180), 1e-6);
}

TEST(near_duplicates, are_the_same_whether_texts_come_at_once_or_in_pieces) {
    std::vector<std::string> texts;
    for (int i = 0; i < 360; ++i) texts.push_back(std::to_string(i * 7 % 360));
    DuplicateFilter whole(by_angle(), 0.999), pieces(by_angle(), 0.999);
    const auto expected = whole.accept(texts);
    std::vector<bool> got;
    for (std::size_t i = 0; i < texts.size(); i += 50) {
        const std::vector<std::string> piece(texts.begin() + static_cast<long>(i),
                                             texts.begin() + static_cast<long>(std::min(i + 50, texts.size())));
        for (const bool stays : pieces.accept(piece)) got.push_back(stays);
    }
    EXPECT_EQ(got, expected);
    EXPECT_GT(whole.dropped().size(), 0u);
}

TEST(near_duplicates, are_found_by_many_threads_as_by_one) {
    DuplicateFilter filter(by_angle(), 2.0);  // keeps all, so that the second call has enough work to be split
    std::vector<std::string> first, second;
    for (int i = 0; i < 400; ++i)
        first.push_back(std::to_string(i * 0.9)), second.push_back(std::to_string(i * 0.9 + 0.3));
    filter.accept(first);
    filter.accept(second);
    for (const auto& pair : filter.nearest(50)) EXPECT_NEAR(pair.cosine, std::cos(0.3 * std::acos(-1.0) / 180), 1e-5);
}

TEST(near_duplicates, are_looked_for_only_where_comparison_makes_sense) {
    DuplicateFilter filter([](const std::vector<std::string>& texts) { return std::vector<float>(texts.size(), 1.0f); },
                           0.9);
    const auto unrelated = [](const std::string& a, const std::string& b) {
        return !is_within(a, b) && !is_within(b, a);
    };
    EXPECT_THAT(filter.accept({"a", "a~b", "a~c"}, unrelated), ElementsAre(true, true, false));
}

TEST(the_lexical_embedder, gives_unit_rows_and_sees_word_forms_but_not_shared_parents) {
    const auto embed = lexical_embedder();
    const auto cosine = [&](const std::string& a, const std::string& b) {
        const auto rows = embed({a, b});
        const auto width = rows.size() / 2;
        double sum = 0, norm = 0;
        for (std::size_t i = 0; i < width; ++i) sum += rows[i] * rows[width + i], norm += rows[i] * rows[i];
        EXPECT_NEAR(norm, 1, 1e-5);
        return sum;
    };
    EXPECT_GT(cosine("animals~bird identification", "animals~birds identification"), 0.85);
    EXPECT_GT(cosine("animals~counting small birds", "animals~small birds counting"), 0.8);
    EXPECT_LT(cosine("animals~birds", "animals~mammals"), 0.5);
    EXPECT_LT(cosine("charts~bar charts~reading values", "charts~bar charts~finding the title"), 0.6);
}
