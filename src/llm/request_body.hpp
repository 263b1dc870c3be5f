// The JSON of one chat completion request.
#pragma once

#include <string>

#include "taskgalaxy/llm/request.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::llm {

// `asking` counts from 0: asked again, only the seed differs. `image` may be null.
std::string request_body(const EndpointSettings& endpoint, const Request& request, const ChatImage* image, int asking);

}  // namespace tg::llm
