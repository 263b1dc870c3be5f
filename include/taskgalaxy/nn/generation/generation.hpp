// Answers in the making, of one model: prompts come in at any time while others are being answered, and a step gives
// every answer in flight its next token. Who asks drives it: generate() (generate.hpp) is a loop over it for a list of
// prompts, a server is another.
//
//     Generation generation(parts, slots, room);
//     while (...) {
//         for (const auto& told : waiting && generation.free_slots() > 0 ? generation.admit(row) : generation.step())
//             take(told);
//     }
//
// Each answer has a slot in the cache of keys and values from admit() to its end: the model's end token, its
// max_new_tokens, or cancel(). The cache is allocated once: 2 x layers x slots x room x kv heads x head size numbers in
// the model's number format. An answer depends on its own prompt, its sampling and its key; which others are in flight
// moves sums by no more than the rounding of matrix products of other heights.
//
// On one thread; no MPI. The model must outlive it, and its weights are on the device while it runs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "taskgalaxy/nn/generation/prompt.hpp"
#include "taskgalaxy/nn/models/llama.hpp"

namespace tg::generation {

struct Sampling {
    double temperature = 0;  // 0: greedy, and nothing below matters
    double top_p = 1;
    std::uint64_t seed = 1;  // an answer depends on (seed, key of its request) alone
};

struct Request {
    std::uint64_t key = 0;  // the asker's name for it, of no other request in flight
    TokenPrompt prompt;     // at least one id
    int max_new_tokens = 64;
    Sampling sampling{};
};

// What a call has added to the answer of one request.
struct Progress {
    std::uint64_t key;
    std::optional<std::int64_t> token;  // the next of its answer; none: the end token came
    bool finished;                      // the answer is whole, and its slot is free again
};

class Generation {
public:
    // `room`: positions of the longest prompt with its answer.
    Generation(const models::VlmParts& parts, std::size_t slots, std::int64_t room);

    std::size_t free_slots() const { return free_slots_.size(); }
    std::size_t in_flight() const { return active_.size(); }

    // Reads these prompts in one packed row, without padding, and tells the first token of each, in their order. Needs
    // a free slot for each. Throws InputError for a prompt that does not fit the room with its answer, or may have no
    // token of answer; then, and when computing fails, none of them is in flight.
    std::vector<Progress> admit(std::span<const Request> requests);

    // The next token of every answer in flight, in the order of their admission; none in flight: nothing.
    std::vector<Progress> step();

    // Forgets an answer in flight; false where there is none of this key (any more).
    bool cancel(std::uint64_t key);

private:
    struct Answering {
        std::uint64_t key;
        std::int64_t slot;
        std::int64_t length;  // positions whose keys and values are stored
        int max_new_tokens;
        Sampling sampling;
        int tokens = 0;               // of the answer, so far
        std::int64_t last_token = 0;  // of these
        bool finished = false;
    };

    void check(std::span<const Request> requests) const;
    torch::Tensor read(std::span<const Request> requests, std::span<const std::int64_t> slots);
    std::vector<Progress> choose(const torch::Tensor& logits, std::size_t first);

    const models::VlmParts& parts_;
    std::int64_t room_;
    std::vector<models::KeyValues> caches_;  // one a layer
    std::vector<std::int64_t> free_slots_;   // the last is taken first
    std::vector<Answering> active_;          // in the order of admission
};

}  // namespace tg::generation
