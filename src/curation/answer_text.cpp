#include "answer_text.hpp"

#include <algorithm>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/llm/thoughts.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::curation {
namespace {

constexpr std::string_view fence = "```";

bool only_blank(std::string_view text) { return trimmed(text).empty(); }

// From the opening brace at `at` to one past its partner; npos when it never closes.
std::size_t object_end(std::string_view text, std::size_t at) {
    int depth = 0;
    bool quoted = false;
    for (auto i = at; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') ++i;
            else if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{') {
            ++depth;
        } else if (c == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return text.npos;
}

// Raw control characters inside strings become escapes, a comma before a closing mark goes.
std::string mended(std::string_view object) {
    std::string out;
    bool quoted = false;
    for (std::size_t i = 0; i < object.size(); ++i) {
        const char c = object[i];
        if (quoted) {
            if (c == '\\' && i + 1 < object.size()) {
                out += c;
                out += object[++i];
            } else if (static_cast<unsigned char>(c) < 0x20) {
                out += c == '\n' ? "\\n" : " ";
            } else {
                out += c;
                quoted = c != '"';
            }
            continue;
        }
        if (c == ',') {
            const auto next = object.find_first_not_of(" \t\r\n", i + 1);
            if (next != object.npos && (object[next] == '}' || object[next] == ']')) continue;
        }
        quoted = c == '"';
        out += c;
    }
    return out;
}

// The text inside the code fences that hold any, or the whole text.
std::string without_fence(std::string_view answer, Notes& notes) {
    const auto open = answer.find(fence);
    if (open == answer.npos) return std::string(trimmed(answer));
    ++notes[Note::code_fence];
    // Several fenced blocks (one a sample) are joined; the words outside them are talk.
    std::string inside;
    std::string_view rest = answer;
    bool talk = false;
    for (;;) {
        const auto begin = rest.find(fence);
        if (begin == rest.npos) {
            talk |= !only_blank(rest);
            break;
        }
        talk |= !only_blank(rest.substr(0, begin));
        rest.remove_prefix(begin + fence.size());
        const auto line_end = rest.find('\n');
        // The word behind the mark is the language; an answer may also stand on the mark's own line.
        const auto language = rest.substr(0, std::min(line_end, rest.find(fence)));
        if (line_end != rest.npos && language.find_first_of("[]{}~,:\" ") == language.npos)
            rest.remove_prefix(std::min(language.size(), rest.size()));
        const auto end = rest.find(fence);
        inside += rest.substr(0, end);
        inside += '\n';
        if (end == rest.npos) break;
        rest.remove_prefix(end + fence.size());
    }
    if (only_blank(inside)) return std::string(trimmed(replace_all(std::string(answer), fence, " ")));
    if (talk) ++notes[Note::chatter];
    return std::string(trimmed(inside));
}

}  // namespace

std::string bare_answer(std::string_view answer, Notes& notes) {
    const auto said = llm::without_thoughts(answer);
    if (said.size() != answer.size()) ++notes[Note::thoughts];
    return without_fence(said, notes);
}

std::optional<nlohmann::json> whole_json(std::string_view text) {
    text = trimmed(text);
    if (text.empty() || (text.front() != '{' && text.front() != '[')) return std::nullopt;
    auto value = parse_json_if_good(text);
    if (value.is_discarded()) return std::nullopt;
    return value;
}

std::vector<nlohmann::json> json_objects(std::string_view text, Notes& notes) {
    std::vector<nlohmann::json> objects;
    for (auto at = text.find('{'); at != text.npos; at = text.find('{', at)) {
        const auto end = object_end(text, at);
        if (end == text.npos) {
            // Cut off, or a stray brace: the objects behind it may still be whole.
            ++notes[Note::broken_json];
            ++at;
            continue;
        }
        auto value = parse_json_if_good(text.substr(at, end - at));
        if (value.is_discarded()) value = parse_json_if_good(mended(text.substr(at, end - at)));
        if (value.is_object()) objects.push_back(std::move(value));
        else ++notes[Note::broken_json];
        at = end;
    }
    return objects;
}

LabelFinder::LabelFinder(const std::vector<std::string>& labels) : labels_(labels) {}

std::optional<LabelFinder::Found> LabelFinder::find(std::string_view text) const {
    const auto exact = std::find(labels_.begin(), labels_.end(), text);
    if (exact != labels_.end()) return Found{static_cast<std::size_t>(exact - labels_.begin()), true};
    const auto reading = taxonomy::read_path(text);
    if (!reading) return std::nullopt;
    const auto normal = std::find(labels_.begin(), labels_.end(), reading.path);
    if (normal != labels_.end()) return Found{static_cast<std::size_t>(normal - labels_.begin()), false};
    std::optional<Found> by_name;
    for (std::size_t i = 0; i < labels_.size(); ++i) {
        // "c" or "b~c" for "a~b~c", as long as nothing else offered ends the same way.
        if (!labels_[i].ends_with(reading.path) || labels_[i].size() == reading.path.size()) continue;
        if (labels_[i][labels_[i].size() - reading.path.size() - 1] != taxonomy::level_separator) continue;
        if (by_name) return std::nullopt;
        by_name = Found{i, false};
    }
    return by_name;
}

}  // namespace tg::curation
