#include "request_body.hpp"

#include <nlohmann/json.hpp>

#include "loopback.hpp"

namespace tg::llm {

TEST(request_body, is_the_json_that_the_chat_completions_interface_wants) {
    auto e = test::endpoint_at("http://x/v1");
    e.seed = 7;
    e.structured_output = true;
    auto r = test::question(1);
    r.system = "be \"brief\"\n";
    r.user = "what is this?\x01 \xff";
    r.response_schema = R"({"type":"object"})";
    const ChatImage image{"image/png", "AAAA", 10, 20};
    const auto body = nlohmann::json::parse(request_body(e, r, &image, 2));
    EXPECT_EQ(body["model"], "stand-in");
    EXPECT_EQ(body["messages"][0], (nlohmann::json{{"role", "system"}, {"content", "be \"brief\"\n"}}));
    EXPECT_EQ(body["messages"][1]["content"][0]["image_url"]["url"], "data:image/png;base64,AAAA");
    EXPECT_EQ(body["messages"][1]["content"][0]["image_url"]["detail"], "high");
    EXPECT_EQ(body["messages"][1]["content"][1]["text"], "what is this?\x01 \xEF\xBF\xBD")
        << "bytes that are no UTF-8 become U+FFFD";
    EXPECT_EQ(body["max_tokens"], 1024);
    EXPECT_EQ(body["seed"], 9) << "asked again: another seed, nothing else";
    EXPECT_EQ(body["response_format"]["json_schema"]["schema"]["type"], "object");
    EXPECT_FALSE(body.contains("top_p"));
    e.structured_output = false;
    EXPECT_FALSE(nlohmann::json::parse(request_body(e, r, nullptr, 0)).contains("response_format"));
}

}  // namespace tg::llm
