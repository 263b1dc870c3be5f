#include "chat_request.hpp"

#include <cstddef>
#include <fmt/format.h>
#include <string_view>

#include "taskgalaxy/core/base64.hpp"
#include "taskgalaxy/core/json.hpp"

namespace tg::simulator {
namespace {

using Json = nlohmann::json;

void read_part(const Json& part, std::string& text, ChatRequest& request) {
    const auto type = part.value("type", std::string());
    if (type == "text") {
        text += part.value("text", std::string());
    } else if (type == "image_url") {
        const auto url = part.contains("image_url") && part["image_url"].is_object()
                             ? part["image_url"].value("url", std::string())
                             : std::string();
        const auto comma = url.find(',');
        if (!url.starts_with("data:image/") || comma == std::string::npos ||
            url.substr(0, comma).find(";base64") == std::string::npos)
            request.error = "image_url must be a data URL in base64";
        else if (auto image = from_base64(std::string_view(url).substr(comma + 1)); image.wrong == 0)
            request.call.image = std::move(image.bytes);
        else request.error = "the image's base64 is damaged";
    } else {
        request.error = fmt::format("a part of type '{}' is not understood", type);
    }
}

}  // namespace

ChatRequest read_chat_request(const std::string& body) {
    ChatRequest request;
    auto& call = request.call;
    const auto json = parse_json_if_good(body);
    if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array() || json["messages"].empty()) {
        request.error = "the body is no JSON object with messages";
        return request;
    }
    try {
        call.model = json.value("model", std::string());
        for (const auto& message : json["messages"]) {
            auto& text = message.value("role", std::string()) == "system" ? call.system : call.user;
            const auto& content = message.at("content");
            if (content.is_string()) text += content.get<std::string>();
            else
                for (const auto& part : content) read_part(part, text, request);
        }
        request.max_tokens = json.contains("max_completion_tokens") ? json["max_completion_tokens"].get<int>()
                                                                    : json.value("max_tokens", 1024);
        call.sampling_seed = json.value("seed", std::int64_t{0});
        if (const auto format = json.find("response_format");
            format != json.end() && format->value("type", std::string()) == "json_schema")
            call.response_schema = format->at("json_schema").at("schema").dump();
    } catch (const Json::exception& e) {
        request.error = e.what();
    }
    return request;
}

}  // namespace tg::simulator
