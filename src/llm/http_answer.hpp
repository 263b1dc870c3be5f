// Reads what came of an HTTP exchange with an OpenAI-compatible server: pure functions; the table of classes is that of
// the design's failure classes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outcome.hpp"

namespace tg::llm {

// What came of one exchange; a key that the server repeats (some do, in their refusals) is taken out of it. `problem`
// is a CURLcode (0: an HTTP answer came in whole); headers of interest by lower-case name.
struct HttpAnswer {
    int problem = 0;
    std::string problem_text;
    long status = 0;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    double seconds = 0;
    std::string_view header(std::string_view lower_case_name) const;
};

// `wall_now`: seconds since 1970, for dates in Retry-After.
Outcome outcome_of(const HttpAnswer& answer, double wall_now);

// As stated by x-ratelimit-limit-* headers; nothing where there is no such header.
std::optional<StatedLimits> stated_limits(const HttpAnswer& answer);

// "12ms", "1s", "6m0s", "1h2m3.5s", "20" (seconds).
std::optional<double> duration_s(std::string_view text);
// Seconds from `wall_now`: a number, or an HTTP date.
std::optional<double> retry_after_s(std::string_view text, double wall_now);

}  // namespace tg::llm
