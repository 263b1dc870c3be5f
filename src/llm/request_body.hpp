// The JSON of one chat completion request, and the key under which its answer is kept.
#pragma once

#include <string>

#include "taskgalaxy/llm/chat.hpp"
#include "taskgalaxy/llm/tokens.hpp"

namespace tg::llm {

// `asking` counts from 0: asked again, only the seed differs. `image` may be null.
std::string request_body(const EndpointSettings& endpoint, const Request& request, const ChatImage* image, int asking);

// Everything that decides the answer, and stage and item besides: judges that happen to be asked the same stay apart by
// item or model.
Digest request_key(const EndpointSettings& endpoint, const Request& request);

// Tokens of the prompt, by rule of thumb and the vendor's rule for pictures, and the longest answer.
TokenEstimate estimate(const EndpointSettings& endpoint, const Request& request, const ChatImage* image);

}  // namespace tg::llm
