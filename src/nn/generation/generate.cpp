// Answers with a cache of keys and values. Every prompt takes a slot; when its answer ends, the slot goes to the next
// prompt, so that no step is spent on finished answers. Prompts are read packed, without padding.
#include <algorithm>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

using torch::Tensor;

namespace {

TokenPrompt read_prompt(const VlmParts& parts, const VlmPrompt& prompt, std::size_t index, int max_new_tokens) {
    const bool has_image = prompt.pixels.defined();
    TokenPrompt read;
    if (has_image) {
        if (!parts.vision)
            throw InputError(fmt::format("prompt {} has a picture, but {} has no eyes", index, parts.folder.string()));
        const std::int64_t side = parts.vision->image_size;
        read.pixels = prompt.pixels.dim() == 3 ? prompt.pixels.unsqueeze(0) : prompt.pixels;
        if (read.pixels.dim() != 4 || read.pixels.size(0) < 1 ||
            read.pixels.sizes().slice(1) != torch::IntArrayRef({3, side, side}))
            throw InputError(
                fmt::format("prompt {}: its picture is not [3, {}, {}], nor tiles of it", index, side, side));
    }
    auto turns = prompt.history;
    turns.push_back({prompt.text, ""});
    if (has_image) text::place_marks(turns, parts.mark, true);
    const auto positions = has_image ? static_cast<std::size_t>(parts.image_positions(read.pixels.size(0))) : 0;
    for (const auto id :
         text::tokenize_conversation(turns, *parts.style, *parts.tokenizer, has_image, true, parts.mark).ids)
        read.ids.insert(read.ids.end(), id == text::image_placeholder ? positions : 1, id);
    if (static_cast<std::int64_t>(read.ids.size()) + max_new_tokens > parts.language.config.context)
        throw InputError(fmt::format("prompt {} takes {} positions and its answer up to {}; {} can hold {}", index,
                                     read.ids.size(), max_new_tokens, parts.folder.string(),
                                     parts.language.config.context));
    return read;
}

// How much of `text` is whole characters: a token may end inside one.
std::size_t whole_characters(std::string_view text) {
    constexpr std::string_view replacement =
        "\xEF\xBF\xBD";  // what decode() puts for bytes that are none yet, at most three
    auto size = text.size();
    for (int bytes = 0; bytes < 3 && text.substr(0, size).ends_with(replacement); ++bytes) size -= replacement.size();
    return size;
}

std::int64_t choose(const Tensor& logits, const GenerateOptions& options, std::uint64_t prompt,
                    std::uint64_t position) {  // [V]
    const auto sorted = torch::sort(torch::softmax(logits.cpu() / options.temperature, 0), 0, true);
    const auto p = std::get<0>(sorted).contiguous();
    const auto* weights = p.data_ptr<float>();
    double kept = 0;
    std::int64_t count = 0;
    while (count < p.size(0) && (count == 0 || kept < options.top_p)) kept += static_cast<double>(weights[count++]);
    double left = random_unit(options.seed ^ mix64(prompt), position) * kept;
    std::int64_t chosen = 0;
    while (chosen + 1 < count && (left -= static_cast<double>(weights[chosen])) >= 0) ++chosen;
    return std::get<1>(sorted)[chosen].item<std::int64_t>();
}

struct Answering {
    std::size_t prompt;
    std::int64_t slot, length;  // positions whose keys are stored
    std::vector<std::int64_t> answer;
};

}  // namespace

std::vector<std::string> VisionLanguageModel::generate(std::span<const VlmPrompt> prompts,
                                                       const GenerateOptions& options) const {
    std::vector<TokenPrompt> read;
    for (std::size_t i = 0; i < prompts.size(); ++i)
        read.push_back(read_prompt(*parts_, prompts[i], i, options.max_new_tokens));
    std::vector<std::vector<std::int64_t>> so_far(prompts.size());
    std::vector<std::size_t> told(prompts.size());
    const auto tell = [&](std::size_t prompt, std::int64_t id) {
        so_far[prompt].push_back(id);
        const auto text = parts_->tokenizer->decode(so_far[prompt]);
        const auto whole = whole_characters(text);
        if (whole <= told[prompt]) return;
        options.on_text(prompt, std::string_view(text).substr(told[prompt], whole - told[prompt]));
        told[prompt] = whole;
    };
    const auto all =
        options.on_text ? answer_tokens(*parts_, read, options, tell) : answer_tokens(*parts_, read, options);
    std::vector<std::string> answers;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto text = parts_->tokenizer->decode(all[i]);
        if (options.on_text && text.size() > told[i])
            options.on_text(i, std::string_view(text).substr(told[i]));  // a character that was never finished
        answers.emplace_back(trimmed(text));
    }
    return answers;
}

std::vector<std::vector<std::int64_t>> answer_tokens(const VlmParts& parts, std::span<const TokenPrompt> prompts,
                                                     const GenerateOptions& options,
                                                     const std::function<void(std::size_t, std::int64_t)>& on_token) {
    const torch::NoGradGuard no_grad;
    const auto& language = parts.language;
    const auto device = language.device();
    std::vector<std::vector<std::int64_t>> answers(prompts.size());
    if (prompts.empty() || options.max_new_tokens < 1) return answers;

    std::size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.ids.size());
    const auto batch = static_cast<std::int64_t>(
        std::min<std::size_t>(prompts.size(), static_cast<std::size_t>(std::max(1, options.batch))));
    const auto room = static_cast<std::int64_t>(longest) + options.max_new_tokens;
    const auto& c = language.config;
    std::vector<KeyValues> caches(static_cast<std::size_t>(c.layers));
    for (auto& cache : caches)
        for (auto* tensor : {&cache.keys, &cache.values})
            *tensor =
                torch::zeros({batch, c.kv_heads, room, c.head_dim}, torch::dtype(language.dtype()).device(device));

    std::vector<std::int64_t> free_slots;
    for (auto slot = batch; slot-- > 0;) free_slots.push_back(slot);
    std::vector<Answering> active;
    std::size_t next = 0;

    // Takes the next token of each sequence in `rows` (the last `rows.size()` of `active`); ended ones leave.
    const auto take = [&](const Tensor& logits, std::size_t first) {
        const auto best = logits.argmax(-1).cpu();
        for (std::size_t i = first; i < active.size(); ++i) {
            const auto row = static_cast<std::int64_t>(i - first);
            auto& a = active[i];
            const auto id = options.temperature > 0 ? choose(logits[row], options, a.prompt, a.answer.size())
                                                    : best[row].item<std::int64_t>();
            const bool ended = std::find(parts.ends.begin(), parts.ends.end(), id) != parts.ends.end();
            if (!ended) a.answer.push_back(id);
            if (!ended && on_token) on_token(a.prompt, id);
            if (ended || static_cast<int>(a.answer.size()) == options.max_new_tokens) {
                answers[a.prompt] = std::move(a.answer);
                free_slots.push_back(a.slot);
                a.slot = -1;
            }
        }
        std::erase_if(active, [](const Answering& a) { return a.slot < 0; });
    };

    // Prompts are read in rows of about this length: longer ones gain nothing, and their activations leave the caches.
    constexpr std::size_t row_positions = 2048;
    const auto admit = [&] {
        std::vector<std::int64_t> ids, starts{0}, slots, image_rows, last_rows;
        std::vector<Tensor> pixels;
        const auto first = active.size();
        while (!free_slots.empty() && next < prompts.size() &&
               (ids.empty() || ids.size() + prompts[next].ids.size() <= row_positions)) {
            const auto& prompt = prompts[next];
            for (const auto id : prompt.ids) {
                if (id == text::image_placeholder) image_rows.push_back(static_cast<std::int64_t>(ids.size()));
                ids.push_back(id == text::image_placeholder ? 0 : id);
            }
            if (prompt.pixels.defined()) pixels.push_back(prompt.pixels);
            starts.push_back(static_cast<std::int64_t>(ids.size()));
            last_rows.push_back(starts.back() - 1);
            slots.push_back(free_slots.back());
            active.push_back({next++, free_slots.back(), static_cast<std::int64_t>(prompt.ids.size()), {}});
            free_slots.pop_back();
        }
        auto x = language.embed(torch::tensor(ids, torch::kInt64).to(device));
        if (!pixels.empty()) {
            const auto features = parts.vision->features(torch::cat(pixels).to(device));
            const auto rows =
                parts.projector->forward(features.reshape({-1, parts.vision->channels}).to(language.dtype()));
            x.index_copy_(0, torch::tensor(image_rows, torch::kInt64).to(device), rows);
        }
        const auto packing = language.pack(starts);
        for (std::size_t layer = 0; layer < caches.size(); ++layer)
            x = language.layers[layer].prefill(x, packing, caches[layer], slots);
        take(language.logits(x.index_select(0, torch::tensor(last_rows, torch::kInt64).to(device))), first);
    };

    while (next < prompts.size() || !active.empty()) {
        // A part of a large model takes minutes: it is begun anew next time rather than that the warning time runs out.
        if (stop_requested()) throw Stopped("answering questions");
        // New prompts are read several at once, so that their packed row is worth a matrix product.
        if (next < prompts.size() &&
            (active.empty() || free_slots.size() >= std::max<std::size_t>(1, static_cast<std::size_t>(batch) / 4))) {
            admit();
            continue;
        }
        if (active.empty()) continue;
        std::vector<std::int64_t> ids, slots, lengths;
        for (const auto& a : active)
            ids.push_back(a.answer.back()), slots.push_back(a.slot), lengths.push_back(a.length);
        auto x = language.embed(torch::tensor(ids, torch::kInt64).to(device));
        Tensor cos, sin;
        language.rotations(torch::tensor(lengths, torch::kInt64).to(device), cos, sin);
        for (std::size_t layer = 0; layer < caches.size(); ++layer)
            x = language.layers[layer].step(x, cos, sin, caches[layer], slots, lengths);
        for (auto& a : active) ++a.length;
        take(language.logits(x), 0);
    }
    return answers;
}

}  // namespace tg::models
