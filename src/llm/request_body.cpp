#include "request_body.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "request_key.hpp"

namespace tg::llm {
namespace {

// A JSON string; bytes that are no UTF-8 become U+FFFD, as a server would refuse them.
std::string json_string(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string request_body(const EndpointSettings& endpoint, const Request& request, const ChatImage* image, int asking) {
    // Put together by hand because of the picture: it needs no escaping, and is by far the longest part.
    std::string body;
    body.reserve((image ? image->base64.size() : 0) + request.system.size() + request.user.size() +
                 request.response_schema.size() + 512);
    body += fmt::format(R"({{"model":{},"messages":[)", json_string(endpoint.model));
    if (!request.system.empty())
        body.append(R"({"role":"system","content":)").append(json_string(request.system)).append("},");
    if (image) {
        body.append(R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"data:)")
            .append(image->media_type)
            .append(";base64,")
            .append(image->base64);
        body.append(R"(","detail":")")
            .append(word_of(image_detail_words(), endpoint.image_detail))
            .append(R"("}},{"type":"text","text":)")
            .append(json_string(request.user))
            .append("}]}]");
    } else {
        body.append(R"({"role":"user","content":)").append(json_string(request.user)).append("}]");
    }
    body += fmt::format(R"(,"temperature":{},"{}":{},"seed":{})", endpoint.temperature,
                        word_of(max_tokens_names(), endpoint.max_tokens_name), answer_limit(endpoint, request),
                        endpoint.seed + asking);
    if (endpoint.top_p != 1) body += fmt::format(R"(,"top_p":{})", endpoint.top_p);
    if (endpoint.structured_output && !request.response_schema.empty())
        body.append(
                R"(,"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":)")
            .append(request.response_schema)
            .append("}}");
    body += "}";
    return body;
}

}  // namespace tg::llm
