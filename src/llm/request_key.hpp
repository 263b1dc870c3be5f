// What is known of a request before it is sent: the key under which its answer is kept, and how many tokens it takes.
#pragma once

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/request.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/llm/tokens.hpp"

namespace tg::llm {

// Everything that decides the answer, and stage and item besides: judges that happen to be asked the same stay apart by
// item or model.
Digest request_key(const EndpointSettings& endpoint, const Request& request);

// Tokens of the longest answer: the request's wish, else the endpoint's.
int answer_limit(const EndpointSettings& endpoint, const Request& request);

// Tokens of the prompt, by rule of thumb and the vendor's rule for pictures, and the longest answer. `image` may be
// null.
TokenEstimate estimate(const EndpointSettings& endpoint, const Request& request, const ChatImage* image);

}  // namespace tg::llm
