#include "answer_record.hpp"

#include <array>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 3> outcome_names{"answered", "failed", "unusable"};

}  // namespace

std::string encoded(const AnswerRecord& r) {
    Json line{{"outcome", outcome_names[static_cast<std::size_t>(r.result)]},
              {"stage", r.stage},
              {"item", r.item},
              {"endpoint", r.endpoint},
              {"model", r.model},
              {"tries", r.tries},
              {"in", r.tokens_in},
              {"out", r.tokens_out},
              {"at", r.at.empty() ? utc_now() : r.at}};
    if (r.usd) line["usd"] = *r.usd;
    if (!r.kind.empty()) line["class"] = r.kind;
    if (!r.detail.empty()) line["detail"] = r.detail;
    if (!r.request_id.empty()) line["request"] = r.request_id;
    if (r.status) line["status"] = r.status;
    auto text = line.dump(-1, ' ', false, Json::error_handler_t::replace);
    text += '\n';
    text += r.text;
    return text;
}

std::optional<AnswerRecord> decoded(std::string_view value) {
    const auto end = value.find('\n');
    const auto line = parse_json_if_good(value.substr(0, end));
    if (end == std::string_view::npos || !line.is_object()) return std::nullopt;
    AnswerRecord r;
    const auto outcome = line.value("outcome", std::string());
    if (outcome == outcome_names[1]) r.result = AnswerRecord::Result::failed;
    else if (outcome == outcome_names[2]) r.result = AnswerRecord::Result::unusable;
    r.stage = line.value("stage", std::string());
    r.item = line.value("item", std::string());
    r.endpoint = line.value("endpoint", std::string());
    r.model = line.value("model", std::string());
    r.tries = line.value("tries", 1);
    r.tokens_in = line.value("in", std::int64_t{0});
    r.tokens_out = line.value("out", std::int64_t{0});
    if (line.contains("usd")) r.usd = line.value("usd", 0.0);
    r.kind = line.value("class", std::string());
    r.detail = line.value("detail", std::string());
    r.request_id = line.value("request", std::string());
    r.status = line.value("status", 0L);
    r.at = line.value("at", std::string());
    r.text = value.substr(end + 1);
    return r;
}

}  // namespace tg::llm
