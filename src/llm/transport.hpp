// How requests reach models and answers come back, as the engine sees it: start an exchange, wait for what arrives. A
// transport decides nothing about pace, retries or money. HttpTransport talks to servers; models on the job's own ranks
// can stand in its place.
//
// The engine's thread calls everything but prepare() and wake(), which any thread may call at any time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "outcome.hpp"
#include "taskgalaxy/llm/request.hpp"

namespace tg::llm {

struct Job;  // a request on its way: the engine's own, a transport only hands it back

// A request in the form in which it is sent, any number of times. Only the transport that made it looks inside.
class Message {
public:
    virtual ~Message() = default;
};

class Transport {
public:
    virtual ~Transport() = default;

    // Who serves `endpoint`, named for people; start() takes the position in this list, which never changes. Not empty.
    virtual std::vector<std::string> servers(const std::string& endpoint) const = 0;

    // `image` may be null and is not kept. `asking` counts from 0: asked again, the model must be able to answer
    // differently. Throws what makes this one request impossible.
    virtual std::shared_ptr<const Message> prepare(const Request& request, const ChatImage* image,
                                                   int asking) const = 0;

    // Begins an exchange. It ends in wait() or in cancel_all(), exactly once.
    virtual void start(Job* job, const std::string& endpoint, std::size_t server,
                       std::shared_ptr<const Message> message) = 0;

    struct Arrival {
        Job* job;
        Outcome outcome;
    };
    // Works for at most `seconds`; returns as soon as something arrived or wake() was called.
    virtual std::vector<Arrival> wait(double seconds) = 0;
    virtual void wake() = 0;
    virtual std::size_t in_flight() const = 0;
    // Drops everything in flight.
    virtual std::vector<Job*> cancel_all() = 0;
};

}  // namespace tg::llm
