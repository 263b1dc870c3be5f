#include "taskgalaxy/llm/thoughts.hpp"

#include <array>
#include <optional>

#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

constexpr std::array<std::string_view, 7> names{"think",     "thinking",   "thought",   "thoughts",
                                                "reasoning", "reflection", "scratchpad"};
struct Brackets {
    std::string_view open, close;
};
constexpr std::array brackets{Brackets{"<", ">"}, Brackets{"[", "]"}, Brackets{"◁", "▷"}};

struct Mark {
    std::size_t begin, end;
    bool closes;
};

// The mark that begins at `at`, if one does. Square brackets hold lists in our grammars: only the whole word counts
// there.
std::optional<Mark> mark_at(std::string_view text, std::size_t at) {
    for (const auto& [open, close] : brackets) {
        if (!text.substr(at).starts_with(open)) continue;
        auto from = at + open.size();
        const bool closes = from < text.size() && text[from] == '/';
        from += closes ? 1 : 0;
        const auto end = text.find(close, from);
        if (end == text.npos || end - from > 80) continue;
        auto word = trimmed(text.substr(from, end - from));
        if (open == "<") word = word.substr(0, word.find(' '));  // <think effort="high">
        for (const auto name : names)
            if (lower_ascii(word) == name) return Mark{at, end + close.size(), closes};
    }
    return std::nullopt;
}

// OpenAI's harmony: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>the answer
std::string_view final_channel(std::string_view text) {
    constexpr std::string_view channel = "<|channel|>", message = "<|message|>";
    if (text.find(channel) == text.npos) return text;
    const auto last = text.rfind(channel);
    const auto begins = text.find(message, last);
    if (begins == text.npos ||
        !trimmed(text.substr(last + channel.size(), begins - last - channel.size())).starts_with("final"))
        return {};
    const auto answer = text.substr(begins + message.size());
    return answer.substr(0, answer.find("<|"));
}

}  // namespace

std::string without_thoughts(std::string_view given) {
    const auto text = final_channel(given);
    std::string answer;
    int depth = 0;
    std::size_t from = 0;
    for (auto at = text.find_first_of("<[\xE2"); at != text.npos; at = text.find_first_of("<[\xE2", at)) {
        const auto mark = mark_at(text, at);
        if (!mark) {
            ++at;
            continue;
        }
        if (depth == 0) answer += text.substr(from, at - from);
        if (!mark->closes) ++depth;
        else if (depth > 0) --depth;
        else answer.clear();  // opened in the prompt: all before was thought
        at = from = mark->end;
    }
    if (depth == 0) answer += text.substr(std::min(from, text.size()));
    return answer;
}

}  // namespace tg::llm
