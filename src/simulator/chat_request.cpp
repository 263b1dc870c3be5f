#include "chat_request.hpp"

#include <array>
#include <cstddef>
#include <fmt/format.h>
#include <string_view>

#include "taskgalaxy/core/json.hpp"

namespace tg::simulator {
namespace {

using Json = nlohmann::json;

// RFC 4648; false where the text is none.
bool decode_base64(std::string_view text, std::vector<std::byte>& bytes) {
    static constexpr auto values = [] {
        std::array<std::int8_t, 256> table{};
        table.fill(-1);
        constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (std::size_t i = 0; i < letters.size(); ++i)
            table[static_cast<unsigned char>(letters[i])] = static_cast<std::int8_t>(i);
        return table;
    }();
    while (text.ends_with('=')) text.remove_suffix(1);
    bytes.clear();
    bytes.reserve(text.size() * 3 / 4 + 3);
    std::uint32_t group = 0;
    int bits = 0;
    for (const unsigned char c : text) {
        if (values[c] < 0) return false;
        group = group << 6 | static_cast<std::uint32_t>(values[c]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes.push_back(static_cast<std::byte>(group >> bits & 0xFF));
        }
    }
    return true;
}

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
        else if (!decode_base64(std::string_view(url).substr(comma + 1), request.call.image))
            request.error = "the image's base64 is damaged";
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
