#include "http_answer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <curl/curl.h>
#include <fmt/format.h>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

using Json = nlohmann::json;

std::optional<double> number(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

bool mentions(const std::string& lower_text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return lower_text.find(word) != std::string::npos; });
}

// The error as vendors and servers word it: {"error": {"message", "type", "code"}}, {"message", "type"}, {"detail"}, or
// plain text.
struct ServerError {
    std::string message, type, code;
};

std::string as_text(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_null() ? std::string() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ServerError server_error(const std::string& body) {
    ServerError error;
    const auto json = parse_json_if_good(body);
    if (!json.is_object()) return {body, {}, {}};
    const Json& inner = json.contains("error") ? json["error"] : json;
    if (!inner.is_object()) return {as_text(inner), {}, {}};
    for (const auto& [name, field] : {std::pair{"message", &error.message},
                                      {"detail", &error.message},
                                      {"type", &error.type},
                                      {"code", &error.code}})
        if (field->empty() && inner.contains(name)) *field = as_text(inner[name]);
    return error;
}

Outcome of_problem(const HttpAnswer& answer) {
    Outcome v;
    v.detail = excerpt(answer.problem_text, longest_detail);
    switch (answer.problem) {
        case CURLE_OPERATION_TIMEDOUT: v.kind = "time-out"; break;
        case CURLE_COULDNT_CONNECT: v.kind = "no connection", v.unreached = true; break;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
            v.kind = "unknown host", v.fate = Fate::stop_server, v.unreached = true;
            v.fix =
                "check the host name in urls, and the proxy: compute nodes often reach the outside only through "
                "https_proxy";
            break;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_CERTPROBLEM:
            v.kind = "certificate", v.fate = Fate::stop_server;
            v.fix =
                "the server's certificate is not trusted (expired, another host, or signed by the site's own "
                "authority: name its file in api.ca_bundle)";
            break;
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL: v.kind = "bad URL", v.fate = Fate::stop_server, v.fix = "correct urls"; break;
        case CURLE_PARTIAL_FILE: v.kind = "cut body"; break;
        case CURLE_WRITE_ERROR: v.kind = "endless answer", v.fate = Fate::ask_again; break;
        default: v.kind = "connection lost"; break;
    }
    return v;
}

Outcome of_refusal(const HttpAnswer& answer, double wall_now) {
    Outcome v;
    const auto error = server_error(answer.body);
    const auto lower = lower_ascii(error.message + " " + error.type + " " + error.code);
    v.detail = fmt::format("HTTP {}: {}", answer.status,
                           excerpt(error.message.empty() ? answer.body : error.message, longest_detail));
    if (const auto ms = number(answer.header("retry-after-ms"))) v.wait_s = *ms / 1000;
    else if (const auto after = answer.header("retry-after"); !after.empty()) v.wait_s = retry_after_s(after, wall_now);

    const auto set = [&](Fate fate, std::string_view kind, std::string fix = {}) {
        v.fate = fate, v.kind = kind, v.fix = std::move(fix);
    };
    switch (answer.status) {
        case 401: set(Fate::stop_endpoint, "wrong key", "check the key that api_key_env or api_key_file names"); break;
        case 402:
            set(Fate::stop_endpoint, "no credit", "the account has no credit: pay, then give the same command again");
            break;
        case 403: set(Fate::stop_endpoint, "forbidden", "this key may not use this model or server"); break;
        case 404:
        case 405:
            set(Fate::stop_server, mentions(lower, {"model"}) ? "unknown model" : "unknown path",
                "check model, and that urls end with the version (.../v1)");
            break;
        case 407:
            set(Fate::stop_server, "proxy refuses",
                "the proxy of https_proxy wants a user name and password in that variable");
            break;
        case 429:
            if (mentions(lower, {"insufficient_quota", "exceeded your current quota", "billing"}))
                set(Fate::stop_endpoint, "quota exhausted",
                    "raise the account's quota or credit, then give the same command again");
            else set(Fate::wait, "rate limit");
            v.about_tokens = mentions(lower, {"token"});
            break;
        case 408:
        case 409:
        case 425: set(Fate::retry, "server error"); break;
        case 413: set(Fate::give_up, "too large"); break;
        case 503:
            if (v.wait_s) set(Fate::wait, "overload"), v.overloaded = true;
            else set(Fate::retry, "server error");
            break;
        default:
            if (answer.status >= 500) set(Fate::retry, "server error");
            else if (answer.status >= 300 && answer.status < 400)
                set(Fate::stop_server, "redirect", "name the final URL in urls");
            else if (mentions(lower, {"content_filter", "content management policy", "content_policy"}))
                set(Fate::give_up, "content filter");
            else if (mentions(lower, {"model_not_found", "does not exist"}) && mentions(lower, {"model"}))
                set(Fate::stop_server, "unknown model", "check model");
            else if (mentions(lower, {"invalid_api_key", "incorrect api key", "api key not valid"}))
                set(Fate::stop_endpoint, "wrong key", "check the key that api_key_env or api_key_file names");
            else set(Fate::give_up, "bad request");
    }
    return v;
}

// Text of a message: a string, or parts of type "text".
std::string content_of(const Json& message) {
    const auto content = message.find("content");
    if (content == message.end()) return {};
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    if (content->is_array())
        for (const auto& part : *content)
            if (part.is_object() && part.value("type", "") == "text" && part.contains("text") &&
                part["text"].is_string())
                text += part["text"].get<std::string>();
    return text;
}

Outcome of_success(const HttpAnswer& answer) {
    Outcome v;
    v.fate = Fate::ask_again;
    const auto json = parse_json_if_good(answer.body);
    if (!json.is_object()) {
        const bool html = answer.header("content-type").find("html") != std::string_view::npos ||
                          trimmed(answer.body).starts_with("<");
        v.kind = html ? "not JSON (HTML)" : "broken JSON";
        v.detail = excerpt(answer.body, longest_detail);
        return v;
    }
    if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
        const auto count = [](const Json& from, const char* name) -> std::int64_t {
            const auto it = from.find(name);
            return it != from.end() && it->is_number() ? it->get<std::int64_t>() : -1;
        };
        v.tokens_in = count(*usage, "prompt_tokens");
        v.tokens_out = count(*usage, "completion_tokens");
        if (const auto details = usage->find("prompt_tokens_details"); details != usage->end() && details->is_object())
            v.tokens_cached = std::max<std::int64_t>(0, count(*details, "cached_tokens"));
    }
    const auto choices = json.find("choices");
    if (choices == json.end() || !choices->is_array() || choices->empty() || !(*choices)[0].is_object()) {
        v.kind = "no choices";
        v.detail = excerpt(answer.body, longest_detail);
        return v;
    }
    const auto& choice = (*choices)[0];
    const auto reason = choice.contains("finish_reason") ? as_text(choice["finish_reason"]) : std::string();
    if (reason == "content_filter") {
        v.fate = Fate::give_up, v.kind = "content filter", v.detail = "the server's content filter stopped the answer";
        return v;
    }
    const auto message = choice.find("message");
    if (message != choice.end() && message->is_object()) {
        v.text = content_of(*message);
        if (v.text.empty() && message->contains("refusal") && (*message)["refusal"].is_string()) {
            v.kind = "refusal", v.detail = excerpt((*message)["refusal"].get<std::string>(), longest_detail);
            return v;
        }
    }
    v.cut_off = reason == "length";
    if (trimmed(v.text).empty()) {
        if (v.cut_off)
            v.fate = Fate::give_up, v.kind = "cut off",
            v.detail = "max_tokens was used up before any text came; raise max_tokens";
        else v.kind = "empty answer", v.detail = excerpt(answer.body, longest_detail);
        return v;
    }
    v.fate = Fate::answered;
    return v;
}

}  // namespace

std::string_view HttpAnswer::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (key == name) return value;
    return {};
}

Outcome outcome_of(const HttpAnswer& answer, double wall_now) {
    const bool whole = answer.problem == 0, success = whole && answer.status >= 200 && answer.status < 300;
    auto outcome = success ? of_success(answer) : whole ? of_refusal(answer, wall_now) : of_problem(answer);
    outcome.paid = success;
    outcome.limits = stated_limits(answer);
    outcome.seconds = answer.seconds;
    outcome.code = answer.status;
    outcome.request_id = answer.header("x-request-id");
    return outcome;
}

std::optional<double> duration_s(std::string_view text) {
    text = trimmed(text);
    if (text.empty()) return std::nullopt;
    if (const auto plain = number(text)) return plain;
    double total = 0;
    while (!text.empty()) {
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || value < 0) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        constexpr std::array<std::pair<std::string_view, double>, 5> units{
            {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}};
        const auto unit =
            std::find_if(units.begin(), units.end(), [&](const auto& u) { return text.starts_with(u.first); });
        if (unit == units.end()) return std::nullopt;
        total += value * unit->second;
        text.remove_prefix(unit->first.size());
    }
    return total;
}

std::optional<double> retry_after_s(std::string_view text, double wall_now) {
    if (const auto seconds = duration_s(text)) return seconds;
    const auto at = curl_getdate(std::string(text).c_str(), nullptr);
    if (at < 0) return std::nullopt;
    return std::max(0.0, static_cast<double>(at) - wall_now);
}

std::optional<StatedLimits> stated_limits(const HttpAnswer& answer) {
    const auto states_one = [](const auto& header) { return header.first.starts_with("x-ratelimit-limit-"); };
    if (std::none_of(answer.headers.begin(), answer.headers.end(), states_one)) return std::nullopt;
    // A limit is per minute unless its own figures say that what is used up comes back at the pace of an hour or a day.
    const auto one = [&](std::string_view what) {
        const auto limit = number(answer.header(fmt::format("x-ratelimit-limit-{}", what)));
        if (!limit || *limit <= 0) return 0.0;  // missing or zero (self-hosted servers): not a limit
        const auto remaining = number(answer.header(fmt::format("x-ratelimit-remaining-{}", what)));
        const auto reset = duration_s(answer.header(fmt::format("x-ratelimit-reset-{}", what)));
        if (remaining && reset && *remaining<*limit&& * reset> 0) {
            const double coming_back = (*limit - *remaining) / *reset;
            for (const double period : {3600.0, 86400.0})
                if (std::abs(coming_back * period / *limit - 1) < 0.1) return *limit / period;
        }
        return *limit / 60;
    };
    return StatedLimits{one("requests"), one("tokens")};
}

}  // namespace tg::llm
