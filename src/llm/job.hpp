// One request on its way: waiting -> preparing -> ready -> in flight -> (later -> ready)* -> being written -> done.
// The engine's thread owns it; while it is being prepared, an encoding thread alone fills in what comes of that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "answer_record.hpp"
#include "endpoint.hpp"
#include "ledger.hpp"
#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/request.hpp"
#include "taskgalaxy/llm/tokens.hpp"
#include "transport.hpp"

namespace tg::llm {

struct Line;

using Done = std::function<void(Reply)>;

struct Job {
    Request request;
    AnswerCheck check;
    std::vector<Done> done;  // more than one: the same request was given again meanwhile
    Digest key;
    std::uint64_t order = 0;  // in which it was given
    Line* line = nullptr;
    Ledger::Account account = nullptr;
    // What preparing makes.
    std::shared_ptr<const Message> message;
    TokenEstimate estimate{};
    std::string problem;  // why it failed
    // What sending makes.
    Endpoint::Sending sending{};
    double usd_reserved = 0;
    int failures = 0, refusals = 0, askings = 0, tries = 0;
    Reply reply{};
};

// What the journal keeps of `outcome`. It is paid for whether it can be used or not.
AnswerRecord record_of(const Job& job, const Endpoint& endpoint, const Outcome& outcome, AnswerRecord::Result result);

}  // namespace tg::llm
