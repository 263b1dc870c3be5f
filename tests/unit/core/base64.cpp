#include "taskgalaxy/core/base64.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/random.hpp"

namespace tg {
namespace {

std::string text_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string encoded(std::string_view text) { return to_base64(std::as_bytes(std::span(text))); }

}  // namespace

TEST(base64, is_that_of_the_rfc) {
    EXPECT_EQ(encoded(""), "");
    EXPECT_EQ(encoded("f"), "Zg==");
    EXPECT_EQ(encoded("fo"), "Zm8=");
    EXPECT_EQ(encoded("foo"), "Zm9v");
    EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
    EXPECT_EQ(encoded("\xff\xfe\xfd"), "//79");
}

TEST(base64, brings_back_any_bytes) {
    RandomStream random(9);
    for (int round = 0; round < 500; ++round) {
        std::vector<std::byte> bytes(random.below(40));
        for (auto& byte : bytes) byte = static_cast<std::byte>(random.below(256));
        const auto reading = from_base64(to_base64(bytes));
        EXPECT_EQ(reading.wrong, 0);
        EXPECT_EQ(reading.bytes, bytes);
    }
}

TEST(base64, forgives_line_ends_the_url_alphabet_and_missing_padding) {
    EXPECT_EQ(text_of(from_base64("Zm9v\r\nYmFy").bytes), "foobar");
    EXPECT_EQ(text_of(from_base64("Zg").bytes), "f");
    EXPECT_EQ(from_base64("__79").bytes, from_base64("//79").bytes);
    EXPECT_EQ(from_base64("Zm*v").wrong, '*');
    EXPECT_TRUE(from_base64("Zm*v").bytes.empty());
}

}  // namespace tg
