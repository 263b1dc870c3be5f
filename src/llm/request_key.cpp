#include "request_key.hpp"

#include <fmt/format.h>

namespace tg::llm {

int answer_limit(const EndpointSettings& endpoint, const Request& request) {
    return request.max_tokens > 0 ? request.max_tokens : endpoint.max_tokens;
}

Digest request_key(const EndpointSettings& endpoint, const Request& request) {
    const auto sampling = fmt::format("temperature={} top_p={} max_tokens={} seed={} detail={}", endpoint.temperature,
                                      endpoint.top_p, answer_limit(endpoint, request), endpoint.seed,
                                      request.image ? word_of(image_detail_words(), endpoint.image_detail) : "");
    const auto& schema = endpoint.structured_output ? request.response_schema : std::string();
    return DigestBuilder()
        .add(request.stage)
        .add(request.item)
        .add(endpoint.model)
        .add(sampling)
        .add(request.system)
        .add(request.user)
        .add(request.image_digest)
        .add(schema)
        .finish();
}

TokenEstimate estimate(const EndpointSettings& endpoint, const Request& request, const ChatImage* image) {
    constexpr std::int64_t framing = 8;  // role marks of a message
    auto in = text_tokens(request.system) + text_tokens(request.user) + framing;
    if (image) in += image_tokens(endpoint.image_tokens, endpoint.image_detail, image->width, image->height);
    return {in, answer_limit(endpoint, request)};
}

}  // namespace tg::llm
