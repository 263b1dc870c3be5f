#include "taskgalaxy/nn/generation/generate.hpp"

#include <algorithm>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "text_stream.hpp"

namespace tg::generation {

namespace {

// Prompts are read in rows of about this length: longer ones gain nothing, and their activations leave the caches.
constexpr std::size_t row_positions = 2048;

// The prompts from `first` on that are read together: at least one, at most `slots`.
std::vector<Request> next_row(std::span<const TokenPrompt> prompts, std::size_t first, std::size_t slots,
                              const Options& options) {
    std::vector<Request> row;
    std::size_t positions = 0;
    for (auto i = first; i < prompts.size() && row.size() < slots; ++i) {
        if (!row.empty() && positions + prompts[i].ids.size() > row_positions) break;
        positions += prompts[i].ids.size();
        row.push_back({i, prompts[i], options.max_new_tokens, options.sampling});
    }
    return row;
}

}  // namespace

std::vector<std::vector<std::int64_t>> answer_tokens(const models::VlmParts& parts,
                                                     std::span<const TokenPrompt> prompts, const Options& options,
                                                     const std::function<void(std::size_t, std::int64_t)>& on_token) {
    std::vector<std::vector<std::int64_t>> answers(prompts.size());
    if (prompts.empty() || options.max_new_tokens < 1) return answers;
    std::size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.ids.size());
    const auto slots = std::min(prompts.size(), static_cast<std::size_t>(std::max(1, options.batch)));
    // New prompts are read several at once, so that their packed row is worth a matrix product.
    const auto worth_a_row = std::max<std::size_t>(1, slots / 4);

    Generation generation(parts, slots, static_cast<std::int64_t>(longest) + options.max_new_tokens);
    std::size_t next = 0;
    const auto advance = [&] {
        if (next == prompts.size() || (generation.in_flight() > 0 && generation.free_slots() < worth_a_row))
            return generation.step();
        const auto row = next_row(prompts, next, generation.free_slots(), options);
        next += row.size();
        return generation.admit(row);
    };
    while (next < prompts.size() || generation.in_flight() > 0) {
        // A part of a large model takes minutes: it is begun anew next time rather than that the warning time runs out.
        if (stop_requested()) throw Stopped("answering questions");
        for (const auto& told : advance()) {
            if (!told.token) continue;
            answers[told.key].push_back(*told.token);
            if (on_token) on_token(told.key, *told.token);
        }
    }
    return answers;
}

std::vector<std::string> generate(const models::VisionLanguageModel& model, std::span<const Prompt> prompts,
                                  const Options& options) {
    const auto& parts = model.parts();
    std::vector<TokenPrompt> read;
    for (std::size_t i = 0; i < prompts.size(); ++i)
        read.push_back(read_prompt(parts, prompts[i], i, options.max_new_tokens));

    std::vector<TextStream> streams;
    std::function<void(std::size_t, std::int64_t)> on_token;
    if (options.on_text) {
        streams.assign(prompts.size(), TextStream(*parts.tokenizer));
        on_token = [&](std::size_t prompt, std::int64_t id) {
            if (const auto text = streams[prompt].add(id); !text.empty()) options.on_text(prompt, text);
        };
    }
    const auto tokens = answer_tokens(parts, read, options, on_token);
    std::vector<std::string> answers;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (options.on_text)
            if (const auto text = streams[i].rest(); !text.empty()) options.on_text(i, text);
        answers.emplace_back(trimmed(parts.tokenizer->decode(tokens[i])));
    }
    return answers;
}

}  // namespace tg::generation
