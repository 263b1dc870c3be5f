// What is kept of an answer, and its form in a journal: one line of JSON (who, what, how much) and the raw answer
// behind it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tg::llm {

struct AnswerRecord {
    enum class Result : std::uint8_t {
        answered,
        failed,    // given up; `kind` and `detail` say why
        unusable,  // paid, but asked again: counts for the cost alone
    };
    Result result = Result::answered;
    std::string stage, item, endpoint, model;
    int tries = 1;
    std::int64_t tokens_in = 0, tokens_out = 0;
    std::optional<double> usd{};  // unknown price: none
    std::string kind, detail, request_id;
    long status = 0;  // the server's number of the failure (of HTTP)
    std::string text;
    std::string at{};  // UTC; encoded() puts the present time where it is empty
};

// What answers cost together.
struct Paid {
    std::int64_t tokens_in = 0, tokens_out = 0;
    double usd = 0;
    bool price_known = true;
};
using PaidByEndpointAndStage = std::map<std::pair<std::string, std::string>, Paid>;

std::string encoded(const AnswerRecord& record);
// Nothing when `value` is no such record.
std::optional<AnswerRecord> decoded(std::string_view value);

}  // namespace tg::llm
