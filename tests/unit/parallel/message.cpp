#include "taskgalaxy/parallel/message.hpp"

#include <gtest/gtest.h>

namespace tg::parallel {
namespace {

enum class Colour : std::uint8_t { red = 1, blue = 2 };

struct Row {
    std::string name;
    double usd = 0;
    std::optional<Colour> colour{};
    std::map<std::pair<std::string, int>, std::vector<std::int64_t>> counts{};
    template <class Self> static auto fields(Self& self) {
        return std::tie(self.name, self.usd, self.colour, self.counts);
    }
};

}  // namespace

TEST(messages, bring_back_what_was_sent) {
    constexpr auto large = std::int64_t{1} << 40;
    const std::vector<Row> sent{{"a\0b", 0.1, Colour::blue, {{{"x", 1}, {1, 2, large}}, {{"", -1}, {}}}},
                                {"", -0.0},
                                {std::string(1000, 'z'), 1e300, Colour::red}};
    const auto got = from_message<std::vector<Row>>(to_message(sent));
    ASSERT_EQ(got.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
        EXPECT_EQ(got[i].name, sent[i].name);
        EXPECT_EQ(got[i].usd, sent[i].usd);
        EXPECT_EQ(got[i].colour, sent[i].colour);
        EXPECT_EQ(got[i].counts, sent[i].counts);
    }
    const std::vector<bool> flags{true, false, true};
    EXPECT_EQ(from_message<std::vector<bool>>(to_message(flags)), flags);
    const std::tuple<int, std::string> both{7, "seven"};
    EXPECT_EQ((from_message<std::tuple<int, std::string>>(to_message(both))), both);
}

TEST(messages, of_another_length_than_their_type_are_refused) {
    const auto whole = to_message(std::string("abc"));
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_THROW(from_message<std::string>(std::span(whole).first(size)), std::logic_error) << size;
    auto longer = whole;
    longer.push_back(std::byte{0});
    EXPECT_THROW(from_message<std::string>(longer), std::logic_error);
}

}  // namespace tg::parallel
