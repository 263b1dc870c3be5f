// What the stand-in server reads from the body of a chat completion request.
#pragma once

#include <string>

#include "taskgalaxy/simulator/simulator.hpp"

namespace tg::simulator {

struct ChatRequest {
    SimulatedCall call;  // but for its attempt and seed
    int max_tokens = 1024;
    std::string error;  // why it is not understood; empty: it is
};

// Pictures must be data URLs in base64.
ChatRequest read_chat_request(const std::string& body);

}  // namespace tg::simulator
