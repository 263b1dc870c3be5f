#include "http_answer.hpp"

#include <curl/curl.h>
#include <gtest/gtest.h>

namespace tg::llm {
namespace {

constexpr double noon = 1'780'000'000;  // some second since 1970

HttpAnswer http(long status, std::string body, std::vector<std::pair<std::string, std::string>> headers = {}) {
    HttpAnswer o;
    o.status = status;
    o.body = std::move(body);
    o.headers = std::move(headers);
    return o;
}

HttpAnswer transport(int problem) {
    HttpAnswer o;
    o.problem = problem;
    return o;
}

constexpr auto good =
    R"({"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,)"
    R"("completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}})";

}  // namespace

TEST(http_answer, takes_text_and_usage_of_an_answer) {
    const auto v = outcome_of(http(200, good), noon);
    EXPECT_EQ(v.fate, Fate::answered);
    EXPECT_EQ(v.text, "yes");
    EXPECT_EQ(v.tokens_in, 11);
    EXPECT_EQ(v.tokens_out, 2);
    EXPECT_EQ(v.tokens_cached, 4);
}

struct Case {
    HttpAnswer answer;
    Fate fate;
    std::string kind;
};

TEST(http_answer, sorts_every_failure_into_its_class) {
    const std::vector<Case> cases{
        {http(429, R"({"error":{"message":"Rate limit reached","type":"requests"}})"), Fate::wait, "rate limit"},
        {http(429, R"({"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}})"),
         Fate::stop_endpoint, "quota exhausted"},
        {http(503, "busy", {{"retry-after", "3"}}), Fate::wait, "overload"},
        {http(503, "busy"), Fate::retry, "server error"},
        {http(500, "oops"), Fate::retry, "server error"},
        {http(502, "<html>"), Fate::retry, "server error"},
        {http(529, "overloaded"), Fate::retry, "server error"},
        {http(408, ""), Fate::retry, "server error"},
        {http(400, R"({"error":{"message":"bad image"}})"), Fate::give_up, "bad request"},
        {http(400, R"({"error":{"message":"flagged","code":"content_filter"}})"), Fate::give_up, "content filter"},
        {http(422, R"({"detail":[{"msg":"field required"}]})"), Fate::give_up, "bad request"},
        {http(413, ""), Fate::give_up, "too large"},
        {http(401, R"({"error":{"message":"Incorrect API key"}})"), Fate::stop_endpoint, "wrong key"},
        {http(402, ""), Fate::stop_endpoint, "no credit"},
        {http(403, ""), Fate::stop_endpoint, "forbidden"},
        {http(404, R"({"object":"error","message":"The model `x` does not exist","code":404})"), Fate::stop_server,
         "unknown model"},
        {http(404, "nginx"), Fate::stop_server, "unknown path"},
        {http(301, ""), Fate::stop_server, "redirect"},
        {http(200, "<html>hello"), Fate::ask_again, "not JSON (HTML)"},
        {http(200, R"({"choices":[{"mess)"), Fate::ask_again, "broken JSON"},
        {http(200, R"({"choices":[]})"), Fate::ask_again, "no choices"},
        {http(200, R"({"choices":[{"message":{"content":""},"finish_reason":"stop"}]})"), Fate::ask_again,
         "empty answer"},
        {http(200, R"({"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]})"),
         Fate::ask_again, "refusal"},
        {http(200, R"({"choices":[{"message":{"content":"x"},"finish_reason":"content_filter"}]})"), Fate::give_up,
         "content filter"},
        {http(200, R"({"choices":[{"message":{"content":""},"finish_reason":"length"}]})"), Fate::give_up, "cut off"},
        {transport(CURLE_OPERATION_TIMEDOUT), Fate::retry, "time-out"},
        {transport(CURLE_RECV_ERROR), Fate::retry, "connection lost"},
        {transport(CURLE_GOT_NOTHING), Fate::retry, "connection lost"},
        {transport(CURLE_PARTIAL_FILE), Fate::retry, "cut body"},
        {transport(CURLE_COULDNT_CONNECT), Fate::retry, "no connection"},
        {transport(CURLE_COULDNT_RESOLVE_HOST), Fate::stop_server, "unknown host"},
        {transport(CURLE_PEER_FAILED_VERIFICATION), Fate::stop_server, "certificate"},
    };
    for (const auto& c : cases) {
        const auto v = outcome_of(c.answer, noon);
        EXPECT_EQ(v.fate, c.fate) << c.kind << ": " << c.answer.status << " " << c.answer.body;
        EXPECT_EQ(v.kind, c.kind) << c.answer.status << " " << c.answer.body;
        if (v.fate == Fate::stop_server || v.fate == Fate::stop_endpoint) {
            EXPECT_FALSE(v.fix.empty()) << c.kind;
        }
    }
}

TEST(http_answer, keeps_a_cut_off_answer_for_the_check_to_decide) {
    const auto v =
        outcome_of(http(200, R"({"choices":[{"message":{"content":"[a~b, c"},"finish_reason":"length"}]})"), noon);
    EXPECT_EQ(v.fate, Fate::answered);
    EXPECT_TRUE(v.cut_off);
    EXPECT_EQ(v.tokens_in, -1) << "usage was not said";
}

TEST(http_answer, joins_the_text_parts_of_a_message) {
    EXPECT_EQ(
        outcome_of(
            http(200,
                 R"({"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]})"),
            noon)
            .text,
        "ab");
}

TEST(http_answer, tells_token_limits_from_request_limits) {
    EXPECT_TRUE(
        outcome_of(http(429, R"({"error":{"message":"Limit reached on tokens per min TPM"}})"), noon).about_tokens);
    EXPECT_FALSE(
        outcome_of(http(429, R"({"error":{"message":"Limit reached on requests per min RPM"}})"), noon).about_tokens);
}

TEST(durations, are_read_as_vendors_write_them) {
    EXPECT_DOUBLE_EQ(duration_s("12ms").value(), 0.012);
    EXPECT_DOUBLE_EQ(duration_s("1s").value(), 1);
    EXPECT_DOUBLE_EQ(duration_s("6m0s").value(), 360);
    EXPECT_DOUBLE_EQ(duration_s("1h2m3.5s").value(), 3723.5);
    EXPECT_DOUBLE_EQ(duration_s("20").value(), 20);
    EXPECT_FALSE(duration_s("soon"));
    EXPECT_FALSE(duration_s(""));
    EXPECT_FALSE(duration_s("5 parsecs"));
}

TEST(retry_after, is_seconds_or_a_date_or_milliseconds) {
    EXPECT_DOUBLE_EQ(outcome_of(http(429, "", {{"retry-after", "7"}}), noon).wait_s.value(), 7);
    EXPECT_DOUBLE_EQ(outcome_of(http(429, "", {{"retry-after", "7"}, {"retry-after-ms", "250"}}), noon).wait_s.value(),
                     0.25);
    EXPECT_DOUBLE_EQ(retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 60).value(), 60);
    EXPECT_DOUBLE_EQ(retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 500).value(), 0);
    EXPECT_FALSE(retry_after_s("whenever", 0));
}

TEST(stated_limits, come_from_headers_and_are_never_read_from_missing_or_zero_ones) {
    const auto limits = [](std::vector<std::pair<std::string, std::string>> headers) {
        return stated_limits(http(200, "", std::move(headers))).value_or(StatedLimits{});
    };
    EXPECT_DOUBLE_EQ(limits({{"x-ratelimit-limit-requests", "3000"}}).requests, 50);
    EXPECT_DOUBLE_EQ(limits({{"x-ratelimit-limit-requests", "3000"},
                             {"x-ratelimit-remaining-requests", "2999"},
                             {"x-ratelimit-reset-requests", "20ms"}})
                         .requests,
                     50);
    EXPECT_NEAR(limits({{"x-ratelimit-limit-requests", "200"},
                        {"x-ratelimit-remaining-requests", "199"},
                        {"x-ratelimit-reset-requests", "7m12s"}})
                    .requests,
                200.0 / 86400, 1e-9)
        << "a limit by the day";
    EXPECT_DOUBLE_EQ(limits({{"x-ratelimit-limit-requests", "60"},
                             {"x-ratelimit-remaining-requests", "50"},
                             {"x-ratelimit-reset-requests", "41s"}})
                         .requests,
                     1)
        << "a window that ends in 41 s";
    EXPECT_DOUBLE_EQ(limits({{"x-ratelimit-limit-tokens", "0"}, {"x-ratelimit-remaining-tokens", "0"}}).tokens, 0);
    EXPECT_DOUBLE_EQ(limits({}).requests, 0);
}

}  // namespace tg::llm
