// One question to a model, and what becomes of it. Plain values: what a stage fills in, and what the engine's `done`
// gets. Nothing here knows how a request travels.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "taskgalaxy/core/digest.hpp"

namespace tg::llm {

// A picture as it is sent. One may be shared by many requests (three judges of one sample).
struct ChatImage {
    std::string media_type;  // "image/jpeg"
    std::string base64;
    int width = 0, height = 0;  // for the token estimate
};

struct Request {
    std::string endpoint;      // name of an [endpoint.NAME] section
    std::string stage;         // figures are kept per endpoint and stage
    std::string item;          // "image 17 type 2044": for failure lines, and part of the key
    std::string system, user;  // `system` may be empty; the picture comes before the text of `user`
    Digest image_digest{};  // of what decides the picture's bytes (file digest, longest side, quality); part of the key
    std::function<std::shared_ptr<const ChatImage>()>
        image;                    // on the engine's encoding threads, only when really sent; empty: no picture
    std::string response_schema;  // JSON schema or empty; sent only where the endpoint has structured_output
    int max_tokens = 0;           // 0: the endpoint's
    int priority = 0;             // higher first
};

struct Reply {
    enum class Status {
        answered,
        failed,   // every try allowed was made; `failure` says why, `text` holds the last raw answer if there was one
        stopped,  // the engine stopped before an answer came; nothing is recorded, the next start asks it
    };
    Status status = Status::failed;
    std::string text;
    std::string failure;
    bool from_journal = false;
};

// Says why an answer cannot be used (it is then asked again, a bounded number of times), or nothing when it is fine.
using AnswerCheck = std::function<std::string(std::string_view answer)>;

}  // namespace tg::llm
