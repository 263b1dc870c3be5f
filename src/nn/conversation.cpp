#include "taskgalaxy/nn/conversation.hpp"

#include <array>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {
namespace {

constexpr std::array styles{
    ConversationStyle{"vicuna_v1", "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. ", "USER: ",
                      " ASSISTANT:", " ", "</s>", ""},
    ConversationStyle{"plain", "", "", "", "", "\n", "", true},
    ConversationStyle{"chatml", "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>", "\n"},
};

}  // namespace

std::vector<std::string> conversation_styles() {
    std::vector<std::string> names;
    for (const auto& style : styles) names.emplace_back(style.name);
    return names;
}

const ConversationStyle& conversation_style(std::string_view name) {
    for (const auto& style : styles)
        if (style.name == name) return style;
    throw UsageError(fmt::format("conversation style '{}' is not known", name), "choose from " + join(conversation_styles(), ", "));
}

std::string with_mark_in_front(std::string_view text) {
    if (text.find(image_mark) == std::string_view::npos) return std::string(text);
    const auto rest = replace_all(std::string(text), image_mark, "");
    return std::string(trimmed(fmt::format("{}\n{}", image_mark, trimmed(rest))));
}

TokenizedText tokenize_conversation(const std::vector<Turn>& turns, const ConversationStyle& style, const LanguageTokenizer& tokenizer, bool has_image, bool open_end) {
    struct Span {
        std::size_t begin, end;
    };
    std::string text(style.system);
    std::vector<Span> learnt;
    for (std::size_t i = 0; i < turns.size(); ++i) {
        text += style.open;
        if (!style.drops_questions) text += turns[i].question;
        else if (has_image) text += image_mark;
        text += style.close;
        if (open_end && i + 1 == turns.size()) break;
        const auto begin = text.size();
        text += style.lead;
        text += turns[i].answer;
        text += style.end;
        learnt.push_back({begin, text.size()});
        text += style.tail;
    }

    TokenizedText result;
    const auto put = [&](std::int64_t id, bool is_learnt) {
        result.ids.push_back(id);
        result.labels.push_back(is_learnt ? id : ignored_label);
    };
    if (tokenizer.begins_with_bos()) put(*tokenizer.bos(), false);
    auto span = learnt.begin();
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto mark = has_image ? text.find(image_mark, begin) : std::string::npos;
        const auto end = std::min(mark, text.size());
        for (const auto& token : tokenizer.tokenize(std::string_view(text).substr(begin, end - begin))) {
            const auto at = begin + token.begin;
            while (span != learnt.end() && at >= span->end) ++span;
            put(token.id, span != learnt.end() && at >= span->begin);
        }
        if (mark == std::string::npos) break;
        put(image_placeholder, false);
        begin = mark + image_mark.size();
    }
    return result;
}

}  // namespace tg
