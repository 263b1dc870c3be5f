#include "taskgalaxy/core/pattern.hpp"

#include <gtest/gtest.h>
#include <string>

#include "taskgalaxy/core/error.hpp"

namespace tg {
namespace {

std::vector<std::string> found(const Pattern& pattern, std::string_view text) {
    std::vector<std::string> out;
    for (const auto& span : pattern.matches(text)) out.emplace_back(text.substr(span.begin, span.end - span.begin));
    return out;
}

}  // namespace

TEST(pattern, finds_all_matches_from_left_to_right) {
    using Texts = std::vector<std::string>;
    EXPECT_EQ(found(Pattern("\\d+"), "a1b22c333"), (Texts{"1", "22", "333"}));
    EXPECT_EQ(found(Pattern("x*"), "axxbx"), (Texts{"xx", "x"})) << "empty matches are none";
    EXPECT_EQ(found(Pattern("\\p{L}+", Pattern::Reading::unicode), "été 漢字, na\xC3"), (Texts{"été", "漢字", "na"}))
        << "a cut character matches nothing";
    EXPECT_TRUE(found(Pattern("a"), "").empty());
}

TEST(pattern, reads_texts_of_a_million_characters) {
    const std::string digits(1'000'000, '7');
    const Pattern number(R"(-?\d+(?:\.\d+)?[eE][+-]?\d+)"), letters(R"((?:\p{L}|\p{N})+)", Pattern::Reading::unicode);
    EXPECT_EQ(found(letters, digits), std::vector<std::string>{digits});
    EXPECT_EQ(found(number, digits + "e5"), std::vector<std::string>{digits + "e5"});
}

TEST(pattern, tells_a_mistake_and_its_place_and_what_takes_too_many_steps) {
    try {
        const Pattern wrong("ab(c");
        FAIL() << "taken for a pattern";
    } catch (const InputError& error) {
        EXPECT_NE(std::string(error.what()).find("character 4"), std::string::npos) << error.what();
    }
    const Pattern exponential("^(a+)+$");
    EXPECT_THROW(static_cast<void>(exponential.matches(std::string(64, 'a') + "b")), InputError);
}

}  // namespace tg
