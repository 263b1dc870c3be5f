#include "chat_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tg::simulator {
namespace {

std::string with_picture(const std::string& url) {
    return R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":")" + url +
           R"("}},{"type":"text","text":"what?"}]}]})";
}

}  // namespace

TEST(chat_request, is_read_with_its_picture_its_limit_its_seed_and_its_schema) {
    const auto request = read_chat_request(
        R"({"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"what?"}],)"
        R"("max_completion_tokens":7,"seed":5,)"
        R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}})");
    EXPECT_EQ(request.error, "");
    EXPECT_EQ(request.call.model, "m");
    EXPECT_EQ(request.call.system, "be brief");
    EXPECT_EQ(request.call.user, "what?");
    EXPECT_EQ(request.call.sampling_seed, 5);
    EXPECT_EQ(request.call.response_schema, R"({"type":"object"})");
    EXPECT_EQ(request.max_tokens, 7);
}

TEST(chat_request, holds_the_bytes_of_its_picture) {
    for (const auto& [text, bytes] : {std::pair<std::string, std::vector<int>>{"AAECAw==", {0, 1, 2, 3}},
                                      {"AAEC", {0, 1, 2}},
                                      {"/+8=", {255, 239}}}) {
        const auto request = read_chat_request(with_picture("data:image/png;base64," + text));
        EXPECT_EQ(request.error, "");
        EXPECT_EQ(request.call.user, "what?");
        std::vector<int> read;
        for (const auto byte : request.call.image) read.push_back(std::to_integer<int>(byte));
        EXPECT_EQ(read, bytes) << text;
    }
}

TEST(chat_request, says_why_it_is_not_understood) {
    EXPECT_EQ(read_chat_request("{").error, "the body is no JSON object with messages");
    EXPECT_EQ(read_chat_request(R"({"messages":[]})").error, "the body is no JSON object with messages");
    EXPECT_EQ(read_chat_request(with_picture("https://elsewhere/a.png")).error,
              "image_url must be a data URL in base64");
    EXPECT_EQ(read_chat_request(with_picture("data:image/png;base64,?")).error, "the image's base64 is damaged");
    EXPECT_EQ(read_chat_request(R"({"messages":[{"role":"user","content":[{"type":"audio"}]}]})").error,
              "a part of type 'audio' is not understood");
    EXPECT_THAT(read_chat_request(R"({"messages":[{"role":"user"}]})").error, testing::HasSubstr("content"));
}

}  // namespace tg::simulator
