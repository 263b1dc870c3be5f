#include "taskgalaxy/nn/text/conversation.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::text {
namespace {

// The default system texts of OpenGVLab's conversation.py; literals, so that rows can join them.
#define TG_INTERNVL_SYSTEM \
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
#define TG_INTERNVL25_SYSTEM \
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"

constexpr std::array styles{
    ConversationStyle{"vicuna_v1",
                      "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
                      "helpful, detailed, and polite answers to the user's questions. ",
                      "USER: ", " ASSISTANT:", " ", "</s>", ""},
    ConversationStyle{"plain", "", "", "", "", "\n", "", true},
    ConversationStyle{"chatml", "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", "<|im_start|>user\n",
                      "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>", "\n"},
    // InternVL 1.5 and 2: no newline between the turns.
    ConversationStyle{"Hermes-2", "<|im_start|>system\n" TG_INTERNVL_SYSTEM "<|im_end|>", "<|im_start|>user\n",
                      "<|im_end|><|im_start|>assistant\n", "", "<|im_end|>", ""},
    ConversationStyle{"internlm2-chat", "<|im_start|>system\n" TG_INTERNVL_SYSTEM "<|im_end|>", "<|im_start|>user\n",
                      "<|im_end|><|im_start|>assistant\n", "", "<|im_end|>", "", false, true},
    ConversationStyle{"phi3-chat", "<|system|>\n" TG_INTERNVL_SYSTEM "<|end|>", "<|user|>\n", "<|end|><|assistant|>\n",
                      "", "<|end|>", ""},
    ConversationStyle{"internvl2_5", "<|im_start|>system\n" TG_INTERNVL25_SYSTEM "<|im_end|>\n", "<|im_start|>user\n",
                      "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>", "\n"},
    // The chat template of transformers' InternVL folders.
    ConversationStyle{"internvl-hf", "", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>",
                      "\n"},
};
#undef TG_INTERNVL_SYSTEM
#undef TG_INTERNVL25_SYSTEM

}  // namespace

std::vector<std::string> conversation_styles() {
    std::vector<std::string> names;
    for (const auto& style : styles) names.emplace_back(style.name);
    return names;
}

const ConversationStyle& conversation_style(std::string_view name) {
    for (const auto& style : styles)
        if (style.name == name) return style;
    throw UsageError(fmt::format("conversation style '{}' is not known", name),
                     "choose from " + join(conversation_styles(), ", "));
}

std::string with_mark_in_front(std::string_view text) {
    if (text.find(image_mark) == std::string_view::npos) return std::string(text);
    const auto rest = replace_all(std::string(text), image_mark, "");
    return std::string(trimmed(fmt::format("{}\n{}", image_mark, trimmed(rest))));
}

void place_marks(std::vector<Turn>& turns, const PictureMark& mark, bool needed) {
    const auto has_mark = [](const std::string& text) { return text.find(image_mark) != std::string::npos; };
    if (mark.in_vocabulary()) {
        if (needed && !turns.empty() && !has_mark(turns.front().question))
            turns.front().question = fmt::format("{}\n{}", image_mark, turns.front().question);
        return;
    }
    if (needed && !turns.empty() &&
        std::none_of(turns.begin(), turns.end(), [&](const Turn& turn) { return has_mark(turn.question); }))
        turns.front().question.insert(0, image_mark);
    for (auto& turn : turns)
        turn.question = with_mark_in_front(turn.question), turn.answer = with_mark_in_front(turn.answer);
}

TokenizedText tokenize_conversation(const std::vector<Turn>& turns, const ConversationStyle& style,
                                    const LanguageTokenizer& tokenizer, bool has_image, bool open_end,
                                    const PictureMark& mark) {
    struct Span {
        std::size_t begin, end;
    };
    const auto told = [&](const std::string& words) { return style.trims ? trimmed(words) : std::string_view(words); };
    std::string text(style.system);
    std::vector<Span> learnt;
    std::size_t picture = std::string::npos;  // where the tokens of the vocabulary that stand for it begin
    const auto ask = [&](std::string_view question) {
        const auto at = has_image && mark.in_vocabulary() && picture == std::string::npos ? question.find(image_mark)
                                                                                          : std::string_view::npos;
        if (at == std::string_view::npos) return void(text += question);
        text += question.substr(0, at);
        picture = text.size() + mark.open.size();
        text.append(mark.open).append(mark.context).append(mark.close);
        text += question.substr(at + image_mark.size());
    };
    for (std::size_t i = 0; i < turns.size(); ++i) {
        text += style.open;
        if (!style.drops_questions) ask(told(turns[i].question));
        else if (has_image) ask(image_mark);
        text += style.close;
        if (open_end && i + 1 == turns.size()) break;
        const auto begin = text.size();
        text += style.lead;
        text += told(turns[i].answer);
        text += style.end;
        learnt.push_back({begin, text.size()});
        text += style.tail;
    }
    const auto context = picture == std::string::npos ? std::nullopt : tokenizer.id_of(mark.context);
    if (picture != std::string::npos && !context)
        throw InputError(fmt::format("the tokenizer has no token {}", mark.context),
                         "pictures need it; the tokenizer files of the model are incomplete");

    TokenizedText result;
    const auto put = [&](std::int64_t id, bool is_learnt) {
        result.ids.push_back(id);
        result.labels.push_back(is_learnt ? id : ignored_label);
    };
    if (tokenizer.begins_with_bos()) put(*tokenizer.bos(), false);
    auto span = learnt.begin();
    const bool cuts = has_image && !mark.in_vocabulary();
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto next = cuts ? text.find(image_mark, begin) : std::string::npos;
        const auto end = std::min(next, text.size());
        for (const auto& token : tokenizer.tokenize(std::string_view(text).substr(begin, end - begin))) {
            const auto at = begin + token.begin;
            while (span != learnt.end() && at >= span->end) ++span;
            // A literal <IMG_CONTEXT> in somebody's text is no picture.
            if (context && token.id == *context && at == picture) put(image_placeholder, false);
            else put(token.id, span != learnt.end() && at >= span->begin);
        }
        if (next == std::string::npos) break;
        put(image_placeholder, false);
        begin = next + image_mark.size();
    }
    return result;
}

}  // namespace tg::text
