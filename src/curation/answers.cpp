#include "taskgalaxy/curation/answers.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <set>
#include <unordered_set>

#include "answer_text.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::curation {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, note_count> note_names{
    "code_fence",   "chatter",  "json_form",     "relabelled",  "unknown_label", "repeated_label",
    "wrong_parent", "bad_path", "known_path",    "broken_json", "missing_field", "empty_field",
    "extra_sample", "left_out", "contradiction", "thoughts"};

// "None", "[none]", "none.", "(none)"; not "none of these types" amid a sentence.
bool says_none(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n[]()\"'`*.");
    if (first == text.npos) return false;
    const auto last = text.find_last_not_of(" \t\r\n[]()\"'`*.");
    const auto word = lower_ascii(text.substr(first, last - first + 1));
    return word == "none" || word == "n/a";
}

// Strings of a JSON array, or of the first array inside an object: what structured output and eager models give.
std::optional<std::vector<std::string>> string_list(const json& value) {
    if (value.is_array()) {
        std::vector<std::string> texts;
        for (const auto& item : value) {
            if (!item.is_string()) return std::nullopt;
            texts.push_back(item.get<std::string>());
        }
        return texts;
    }
    if (value.is_object())
        for (const auto& [key, inner] : value.items())
            if (inner.is_array()) return string_list(inner);
    return std::nullopt;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    for (const auto& line : split(text, '\n')) {
        const auto bare = trimmed(line);
        if (!bare.empty()) lines.emplace_back(bare);
    }
    return lines;
}

bool has_tilde(std::string_view line) {
    return line.find('~') != line.npos || line.find("\u223C") != line.npos || line.find("\uFF5E") != line.npos;
}

// A line that is talk, not a name: a sentence, an introduction, or many words.
bool is_talk(std::string_view line) {
    const auto bare = trimmed(line);
    if (bare.ends_with(':') || bare.find_first_of("!?;") != bare.npos) return true;
    const auto words = 1 + std::count(bare.begin(), bare.end(), ' ');
    if (bare.ends_with('.') && words >= 4) return true;
    const auto lower = lower_ascii(bare);
    for (const std::string_view start : {"i ", "i'", "i\u2019", "here ", "sure", "sorry", "of course", "certainly",
                                         "okay", "note", "these ", "let me", "as an "})
        if (lower.starts_with(start)) return true;
    if (bare.find(". ") != bare.npos &&
        !std::all_of(bare.begin(), bare.begin() + static_cast<std::ptrdiff_t>(bare.find(". ")),
                     [](char c) { return c >= '0' && c <= '9'; }))
        return true;
    return words >= 10 || (bare.find(',') != bare.npos && !bare.ends_with(','));
}

// What a name never holds, whatever stands around it: the marks of JSON and of tags, or no letter at all; and the words
// that say there is none.
bool is_type_name(std::string_view name) {
    if (name.find_first_of("{}<>|\\") != name.npos) return false;
    if (std::ranges::none_of(name, [](unsigned char c) { return std::isalpha(c) != 0 || c >= 0x80; })) return false;
    for (const std::string_view no_name : {"none", "n/a", "na", "nil", "null", "nothing"})
        if (name == no_name) return false;
    return true;
}
bool holds_type_names(std::string_view path) {
    for (const auto& name : split(path, taxonomy::level_separator))
        if (!is_type_name(name)) return false;
    return true;
}

// The whole strings of a JSON list that was cut off, or broken behind them.
std::vector<std::string> strings_before_the_cut(std::string_view text) {
    std::vector<std::string> strings;
    auto at = text.find('[');
    while (at != text.npos) {
        at = text.find_first_not_of(" \t\r\n,", at + 1);
        if (at == text.npos || text[at] != '"') break;
        auto end = at + 1;
        while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
        if (end >= text.size()) break;
        const auto value = parse_json_if_good(text.substr(at, end + 1 - at));
        if (!value.is_string()) break;
        strings.push_back(value.get<std::string>());
        at = end;
    }
    return strings;
}

// The field under any of its usual names, as text.
std::optional<std::string> field(const json& object, std::initializer_list<std::string_view> names) {
    for (const auto& [key, value] : object.items()) {
        auto plain = lower_ascii(key);
        std::replace_if(
            plain.begin(), plain.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
        if (std::find(names.begin(), names.end(), plain) == names.end()) continue;
        if (value.is_string()) return std::string(trimmed(value.get<std::string>()));
        if (value.is_number() || value.is_boolean()) return value.dump();
        if (value.is_array()) {
            std::vector<std::string> parts;
            for (const auto& item : value) parts.push_back(item.is_string() ? item.get<std::string>() : item.dump());
            return join(parts, ", ");
        }
        return std::string();
    }
    return std::nullopt;
}

// Objects that carry the fields themselves; wrappers such as {"samples": [...]} are opened.
void collect_samples(const json& value, std::vector<json>& out, int depth = 0) {
    if (depth > 3) return;
    if (value.is_array()) {
        for (const auto& item : value) collect_samples(item, out, depth + 1);
    } else if (value.is_object()) {
        const bool wraps = std::any_of(value.begin(), value.end(), [](const json& inner) {
            return inner.is_array() && !inner.empty() && inner.front().is_object();
        });
        if (!wraps) return out.push_back(value);
        for (const auto& inner : value)
            if (inner.is_array()) collect_samples(inner, out, depth + 1);
    }
}

// Ordered: models write the fields in the order of the schema, and the question has to come before its answer.
using Schema = nlohmann::ordered_json;
Schema strict_object(Schema properties) {
    Schema required = Schema::array();
    for (const auto& [name, rule] : properties.items()) required.push_back(name);
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"additionalProperties", false}};
}

}  // namespace

std::string_view note_name(Note note) { return note_names[static_cast<std::size_t>(note)]; }

Notes& Notes::operator+=(const Notes& other) {
    for (std::size_t i = 0; i < note_count; ++i) counts[i] += other.counts[i];
    return *this;
}

ExpandAnswer read_expand_answer(std::string_view answer, std::string_view parent) {
    ExpandAnswer out;
    const auto text = bare_answer(answer, out.notes);
    if (says_none(text)) return out;
    std::vector<std::string> lines;
    bool from_json = false;
    if (const auto value = whole_json(text)) {
        if (auto list = string_list(*value)) {
            lines = std::move(*list);
            from_json = true;
            ++out.notes[Note::json_form];
            if (lines.empty()) return out;
        }
    }
    if (!from_json && (text.starts_with('{') || text.starts_with("[\"") || text.starts_with("[\n"))) {
        lines = strings_before_the_cut(text);
        from_json = true;
        ++out.notes[Note::broken_json];
    }
    if (!from_json) lines = lines_of(text);
    // Below a parent full paths are asked for. Bare names are taken only from answers that hold no path at all: beside
    // paths, a line without a tilde is talk.
    const bool bare_names = !from_json && (parent.empty() || std::none_of(lines.begin(), lines.end(), has_tilde));

    std::unordered_set<std::string> seen;
    for (const auto& line : lines) {
        const bool bare = !has_tilde(line);
        if (!from_json && ((bare && !bare_names) || (bare && is_talk(line)))) {
            ++out.notes[Note::chatter];
            continue;
        }
        auto reading = taxonomy::read_path(line);
        if (!reading) {
            ++out.notes[Note::bad_path];
            continue;
        }
        auto& path = reading.path;
        if (!holds_type_names(path)) {
            ++out.notes[Note::bad_path];
            continue;
        }
        if (bare && !parent.empty()) {
            path = fmt::format("{}{}{}", parent, taxonomy::level_separator, path);
            ++out.notes[Note::relabelled];
        }
        const bool child = parent.empty() ? taxonomy::level_of(path) == 1 : taxonomy::parent_of(path) == parent;
        if (!child)
            ++out.notes[taxonomy::is_within(path, parent) && path != parent ? Note::bad_path : Note::wrong_parent];
        else if (!seen.insert(path).second) ++out.notes[Note::repeated_label];
        else out.paths.push_back(std::move(path));
    }
    if (out.paths.empty()) out.problem = "no line of the answer is a task type that was asked for";
    return out;
}

namespace {

// Labels out of one bracketed or listed text. A label may hold commas itself, so neighbouring pieces are joined until
// they match.
struct ListReading {
    std::vector<std::size_t> found;
    Notes notes;
    bool none = false;
    std::size_t unknown = 0;
};

ListReading read_list(const std::vector<std::string>& pieces, const LabelFinder& labels) {
    ListReading out;
    constexpr std::size_t longest_join = 4;
    for (std::size_t i = 0; i < pieces.size();) {
        if (says_none(pieces[i])) {
            out.none = true;
            ++i;
            continue;
        }
        std::string joined;
        std::size_t used = 0;
        for (std::size_t n = 1; n <= longest_join && i + n <= pieces.size() && used == 0; ++n) {
            joined += n == 1 ? pieces[i] : "," + pieces[i + n - 1];
            const auto match = labels.find(trimmed(joined));
            if (!match) continue;
            used = n;
            if (!match->exact) ++out.notes[Note::relabelled];
            if (std::find(out.found.begin(), out.found.end(), match->index) != out.found.end())
                ++out.notes[Note::repeated_label];
            else out.found.push_back(match->index);
        }
        if (used == 0 && !trimmed(pieces[i]).empty()) ++out.unknown;
        i += std::max<std::size_t>(1, used);
    }
    return out;
}

std::vector<std::string> pieces_of(std::string_view text) {
    std::vector<std::string> pieces;
    for (const auto& line : split(text, '\n'))
        for (const auto& piece : split(line, ',')) pieces.push_back(piece);
    return pieces;
}

}  // namespace

RefineAnswer read_refine_answer(std::string_view answer, const std::vector<std::string>& candidates) {
    RefineAnswer out{std::vector<std::uint8_t>(candidates.size(), 0), {}, {}};
    const auto text = bare_answer(answer, out.notes);
    const LabelFinder labels(candidates);
    std::optional<ListReading> best;

    if (const auto value = whole_json(text)) {
        // ["a~b"] is JSON; the grammar's own [a~b] is not.
        if (const auto list = string_list(*value)) {
            best = read_list(*list, labels);
            ++out.notes[Note::json_form];
            if (list->empty()) best->none = true;
        }
    }
    if (!best) {
        // The last bracket that holds a label or None is the answer; earlier ones may repeat the question.
        for (auto open = text.find('['); open != text.npos; open = text.find('[', open + 1)) {
            const auto close = text.find(']', open);
            if (close == text.npos) break;
            auto reading = read_list(pieces_of(std::string_view(text).substr(open + 1, close - open - 1)), labels);
            if (reading.found.empty() && !reading.none) continue;
            if (open != 0 || close + 1 != text.size()) ++reading.notes[Note::chatter];
            best = std::move(reading);
        }
    }
    if (!best) {
        // No brackets: one label a line or between commas, nothing else on the line. A sentence that names a label
        // proves nothing.
        auto reading = read_list(pieces_of(text), labels);
        if (!reading.found.empty() || reading.none) best = std::move(reading);
    }
    if (!best) {
        out.problem =
            text.empty() ? "the answer is empty" : "the answer holds none of the offered task types and no [None]";
        return out;
    }
    out.notes += best->notes;
    out.notes[Note::unknown_label] += static_cast<std::int64_t>(best->unknown);
    if (best->none && !best->found.empty()) ++out.notes[Note::contradiction];
    for (const auto index : best->found) out.kept[index] = 1;
    if (best->found.empty() && !best->none) out.problem = "the answer names only task types that were not offered";
    return out;
}

GenerateAnswer read_generate_answer(std::string_view answer, const std::vector<std::string>& types) {
    GenerateAnswer out{std::vector<std::optional<QuestionAnswer>>(types.size()), {}, {}};
    const auto text = bare_answer(answer, out.notes);
    std::vector<json> objects;
    for (const auto& value : json_objects(text, out.notes)) collect_samples(value, objects);

    const LabelFinder labels(types);
    for (const auto& object : objects) {
        const auto type = field(object, {"task_type", "tasktype", "type", "task", "label"});
        auto question = field(object, {"question", "q"});
        auto reply = field(object, {"answer", "a"});
        if (!question || !reply || (!type && types.size() != 1)) {
            ++out.notes[Note::missing_field];
            continue;
        }
        if (question->empty() || reply->empty()) {
            ++out.notes[Note::empty_field];
            continue;
        }
        std::size_t index = 0;
        if (type) {
            const auto found = labels.find(*type);
            if (!found) {
                ++out.notes[Note::unknown_label];
                continue;
            }
            if (!found->exact) ++out.notes[Note::relabelled];
            index = found->index;
        } else {
            ++out.notes[Note::relabelled];  // one type was asked for, so there is no doubt which
        }
        if (out.samples[index]) ++out.notes[Note::extra_sample];
        else out.samples[index] = QuestionAnswer{std::move(*question), std::move(*reply)};
    }
    const auto made =
        std::count_if(out.samples.begin(), out.samples.end(), [](const auto& sample) { return sample.has_value(); });
    if (made == 0) {
        if (!says_none(text))
            out.problem = objects.empty()
                              ? "the answer holds no JSON object"
                              : "no object of the answer has a task type that was asked for, a question and an answer";
    }
    out.notes[Note::left_out] += static_cast<std::int64_t>(types.size()) - made;
    return out;
}

std::string expand_schema() {
    return strict_object({{"paths", {{"type", "array"}, {"items", {{"type", "string"}}}}}}).dump();
}

std::string refine_schema(const std::vector<std::string>& candidates) {
    return strict_object({{"keep", {{"type", "array"}, {"items", {{"type", "string"}, {"enum", candidates}}}}}}).dump();
}

std::string generate_schema(const std::vector<std::string>& types) {
    const Schema sample = strict_object({{"task_type", {{"type", "string"}, {"enum", types}}},
                                         {"question", {{"type", "string"}}},
                                         {"answer", {{"type", "string"}}}});
    return strict_object({{"samples", {{"type", "array"}, {"items", sample}}}}).dump();
}

std::string judge_schema() { return strict_object({{"valid", {{"type", "integer"}, {"enum", {0, 1}}}}}).dump(); }

}  // namespace tg::curation
