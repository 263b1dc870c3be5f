#include "text_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/text.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

using tg::generation::TextStream;

TEST(TextStream, tells_whole_characters_and_all_of_them) {
    const auto tokenizer = tg::text::make_language_tokenizer(tg::test::fixtures("language") / "tiny-qwen2");
    const std::string text = "naïve 鳥は 🐦 end";  // of two, three and four bytes
    const auto ids = tokenizer->encode(text);
    TextStream stream(*tokenizer);
    std::string told;
    std::size_t silent = 0;
    for (const auto id : ids) {
        const auto added = stream.add(id);
        EXPECT_THAT(added, testing::Not(testing::HasSubstr("\xEF\xBF\xBD"))) << "half a character was told";
        silent += added.empty();
        told += added;
    }
    EXPECT_EQ(told, text);
    EXPECT_EQ(stream.rest(), "");
    EXPECT_GT(silent, 0u) << "no token of this text ends inside a character";
}

TEST(TextStream, has_a_rest_where_a_character_was_never_finished) {
    const auto tokenizer = tg::text::make_language_tokenizer(tg::test::fixtures("language") / "tiny-qwen2");
    auto ids = tokenizer->encode("a🐦");
    ids.pop_back();
    TextStream stream(*tokenizer);
    std::string told;
    for (const auto id : ids) told += stream.add(id);
    EXPECT_EQ(told, "a");
    EXPECT_NE(stream.rest(), "");
}

}  // namespace
