#include "taskgalaxy/llm/tokens.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::llm {

// The two examples of the vendor's documentation, and the borders of the rule.
TEST(tokens_of_a_picture, follow_the_tile_rule_of_gpt_4o) {
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 1024, 1024), 765);
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 2048, 4096), 1105);
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::low, 4096, 8192), 85);
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 512, 512), 255);
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 513, 512), 425);
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 100, 60), 255) << "small pictures are not enlarged";
    EXPECT_EQ(image_tokens("gpt-4o", ImageDetail::high, 3000, 3000), 765);
    EXPECT_EQ(image_tokens("gpt-4o-mini", ImageDetail::high, 1024, 1024), 2833 + 4 * 5667);
}

TEST(tokens_of_a_picture, may_be_a_number_or_a_known_rule_only) {
    EXPECT_EQ(image_tokens("576", ImageDetail::high, 10, 10), 576);
    EXPECT_EQ(image_tokens("patches-28", ImageDetail::high, 56, 57), 2 * 3 + 2);
    EXPECT_THROW(image_tokens("gpt-9", ImageDetail::high, 10, 10), UsageError);
}

TEST(dollars, are_unknown_where_a_price_that_matters_is_unknown) {
    EndpointSettings e;
    EXPECT_LT(dollars(e, {100, 10}), 0);
    e.price_in = 2.5;
    EXPECT_LT(dollars(e, {100, 10}), 0);
    EXPECT_DOUBLE_EQ(dollars(e, {1'000'000, 0}), 2.5);
    e.price_out = 10;
    EXPECT_DOUBLE_EQ(dollars(e, {1'000'000, 100'000}), 3.5);
}

}  // namespace tg::llm
