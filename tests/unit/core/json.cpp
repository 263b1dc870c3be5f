#include "taskgalaxy/core/json.hpp"

#include <gtest/gtest.h>

namespace tg {

namespace {

std::string nested(int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

std::string refusal(const std::string& text) {
    try {
        parse_json(text, "answers.json:7");
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST(json, depth_has_a_limit) {
    EXPECT_TRUE(parse_json(nested(deepest_json), "f").is_array());
    EXPECT_EQ(refusal(nested(deepest_json + 1)),
              "answers.json:7 is not JSON that can be used: it nests more than 64 levels deep");
    EXPECT_TRUE(parse_json_if_good(nested(1000000)).is_discarded());
}

TEST(json, brackets_in_strings_and_side_by_side_do_not_nest) {
    EXPECT_EQ(parse_json(R"({"a": ")" + std::string(100, '[') + R"(\"[{"})", "f")["a"].get<std::string>().size(), 103U);
    std::string many = "[";
    for (int i = 0; i < 200; ++i) many += "[{}],";
    EXPECT_EQ(parse_json(many + "0]", "f").size(), 201U);
}

TEST(json, broken_text_names_its_place) {
    EXPECT_TRUE(refusal(R"({"a": )").starts_with("answers.json:7 is not JSON: ")) << refusal(R"({"a": )");
    EXPECT_TRUE(refusal(R"("open \)").starts_with("answers.json:7 is not JSON: "));
    EXPECT_TRUE(parse_json_if_good("{]").is_discarded());
}

}  // namespace tg
