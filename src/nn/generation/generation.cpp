#include "taskgalaxy/nn/generation/generation.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

#include "sampling.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::generation {

using torch::Tensor;

Generation::Generation(const models::VlmParts& parts, std::size_t slots, std::int64_t room)
    : parts_(parts), room_(room) {
    const auto& language = parts.language;
    const auto& c = language.config;
    caches_.resize(static_cast<std::size_t>(c.layers));
    for (auto& cache : caches_)
        for (auto* tensor : {&cache.keys, &cache.values})
            *tensor = torch::zeros({static_cast<std::int64_t>(slots), c.kv_heads, room, c.head_dim},
                                   torch::dtype(language.dtype()).device(language.device()));
    for (auto slot = static_cast<std::int64_t>(slots); slot-- > 0;) free_slots_.push_back(slot);
}

void Generation::check(std::span<const Request> requests) const {
    if (requests.size() > free_slots_.size()) throw std::logic_error("more prompts are admitted than slots are free");
    std::set<std::uint64_t> keys;
    for (const auto& a : active_) keys.insert(a.key);
    for (const auto& request : requests) {
        if (request.prompt.ids.empty()) throw std::logic_error("a prompt without ids is admitted");
        const auto& [ids, pixels] = request.prompt;
        if (pixels.defined() && !parts_.vision) throw std::logic_error("a picture is shown to a model without eyes");
        if (std::count(ids.begin(), ids.end(), text::image_placeholder) !=
            parts_.image_positions(pixels.defined() ? pixels.size(0) : 0))
            throw std::logic_error("a prompt has not the positions that its picture takes");
        if (!keys.insert(request.key).second) throw std::logic_error("two answers in flight have one key");
        if (request.max_new_tokens < 1)
            throw InputError(
                fmt::format("prompt {}: an answer of up to {} tokens is none", request.key, request.max_new_tokens));
        if (static_cast<std::int64_t>(request.prompt.ids.size()) + request.max_new_tokens > room_)
            throw InputError(fmt::format("prompt {} takes {} positions and its answer up to {}; there is room for {}",
                                         request.key, request.prompt.ids.size(), request.max_new_tokens, room_));
    }
}

// Stores the keys and values of each prompt in its slot; the logits behind its last position: [prompts,V].
Tensor Generation::read(std::span<const Request> requests, std::span<const std::int64_t> slots) {
    const auto& language = parts_.language;
    std::vector<std::int64_t> ids, starts{0}, image_rows, last_rows;
    std::vector<Tensor> pixels;
    for (const auto& [key, prompt, max_new_tokens, sampling] : requests) {
        for (const auto id : prompt.ids) {
            if (id == text::image_placeholder) image_rows.push_back(static_cast<std::int64_t>(ids.size()));
            ids.push_back(id == text::image_placeholder ? 0 : id);
        }
        if (prompt.pixels.defined()) pixels.push_back(prompt.pixels);
        starts.push_back(static_cast<std::int64_t>(ids.size()));
        last_rows.push_back(starts.back() - 1);
    }
    const auto on_device = [&](const std::vector<std::int64_t>& numbers) {
        return torch::tensor(numbers, torch::kInt64).to(language.device());
    };
    auto x = language.embed(on_device(ids));
    if (!pixels.empty()) {
        const auto features = parts_.vision->features(torch::cat(pixels).to(language.device()));
        x.index_copy_(0, on_device(image_rows),
                      parts_.projector->forward(features.reshape({-1, parts_.vision->channels}).to(language.dtype())));
    }
    const auto packing = language.pack(starts);
    for (std::size_t layer = 0; layer < caches_.size(); ++layer)
        x = language.layers[layer].prefill(x, packing, caches_[layer], slots);
    return language.logits(x.index_select(0, on_device(last_rows)));
}

std::vector<Progress> Generation::admit(std::span<const Request> requests) {
    if (requests.empty()) return {};
    check(requests);
    const torch::NoGradGuard no_grad;
    const std::vector<std::int64_t> slots(free_slots_.rbegin(),
                                          free_slots_.rbegin() + static_cast<std::ptrdiff_t>(requests.size()));
    const auto logits = read(requests, slots);
    const auto first = active_.size();
    free_slots_.resize(free_slots_.size() - slots.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto& request = requests[i];
        active_.push_back({.key = request.key,
                           .slot = slots[i],
                           .length = static_cast<std::int64_t>(request.prompt.ids.size()),
                           .max_new_tokens = request.max_new_tokens,
                           .sampling = request.sampling});
    }
    return choose(logits, first);
}

std::vector<Progress> Generation::step() {
    if (active_.empty()) return {};
    const torch::NoGradGuard no_grad;
    const auto& language = parts_.language;
    std::vector<std::int64_t> ids, slots, lengths;
    for (const auto& a : active_) ids.push_back(a.last_token), slots.push_back(a.slot), lengths.push_back(a.length);
    auto x = language.embed(torch::tensor(ids, torch::kInt64).to(language.device()));
    Tensor cos, sin;
    language.rotations(torch::tensor(lengths, torch::kInt64).to(language.device()), cos, sin);
    for (std::size_t layer = 0; layer < caches_.size(); ++layer)
        x = language.layers[layer].step(x, cos, sin, caches_[layer], slots, lengths);
    for (auto& a : active_) ++a.length;
    return choose(language.logits(x), 0);
}

// The next token of active_[first...], from their logits; answers that end leave.
std::vector<Progress> Generation::choose(const Tensor& logits, std::size_t first) {
    std::vector<Progress> told;
    const auto best = logits.argmax(-1).cpu();
    for (std::size_t i = first; i < active_.size(); ++i) {
        auto& a = active_[i];
        const auto row = static_cast<std::int64_t>(i - first);
        const auto token = a.sampling.temperature > 0
                               ? sampled(logits[row], a.sampling, a.key, static_cast<std::uint64_t>(a.tokens))
                               : best[row].item<std::int64_t>();
        const bool ended = std::find(parts_.ends.begin(), parts_.ends.end(), token) != parts_.ends.end();
        if (!ended) a.last_token = token, ++a.tokens;
        a.finished = ended || a.tokens == a.max_new_tokens;
        if (a.finished) free_slots_.push_back(a.slot);
        told.push_back({a.key, ended ? std::nullopt : std::optional(token), a.finished});
    }
    std::erase_if(active_, [](const Answering& a) { return a.finished; });
    return told;
}

bool Generation::cancel(std::uint64_t key) {
    const auto found = std::find_if(active_.begin(), active_.end(), [&](const Answering& a) { return a.key == key; });
    if (found == active_.end()) return false;
    free_slots_.push_back(found->slot);
    active_.erase(found);
    return true;
}

}  // namespace tg::generation
