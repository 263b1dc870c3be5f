#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <queue>
#include <unicode/uchar.h>
#include <unicode/utf8.h>
#include <unordered_map>

#include "nfc.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/text/tokenizer.hpp"

namespace tg::text {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::string_view word_end = "</w>";
constexpr std::string_view start_of_text = "<|startoftext|>", end_of_text = "<|endoftext|>";

void append_utf8(std::string& out, UChar32 c) {
    std::array<char, U8_MAX_LENGTH> bytes;
    std::int32_t length = 0;
    U8_APPEND_UNSAFE(bytes.data(), length, c);
    out.append(bytes.data(), static_cast<std::size_t>(length));
}

// Code points with the byte where each begins; one more entry for the end. Malformed bytes come as U+FFFD.
struct CodePoints {
    std::vector<UChar32> points;
    std::vector<std::int32_t> begins;
    explicit CodePoints(std::string_view text) {
        const auto length = static_cast<std::int32_t>(text.size());
        for (std::int32_t i = 0; i < length;) {
            begins.push_back(i);
            UChar32 c = 0;
            U8_NEXT_OR_FFFD(text.data(), i, length, c);
            points.push_back(c);
        }
        begins.push_back(length);
    }
};

bool is_space(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0; }
bool is_letter(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_L_MASK) != 0; }
bool is_number(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_N_MASK) != 0; }

// Every character for itself, as the reference does (no final sigma); U+0130 is the one that becomes two.
void append_lower(std::string& out, UChar32 c) {
    if (c == 0x130) out += "i\u0307";
    else append_utf8(out, u_tolower(c));
}

std::string normalised(std::string_view text) {
    const auto composed = nfc(text);
    std::string out;
    out.reserve(composed.size());
    bool in_space = false;
    for (const auto c : CodePoints(composed).points) {
        const bool space = is_space(c);
        if (!space) append_lower(out, c);
        else if (!in_space) out += ' ';
        in_space = space;
    }
    return out;
}

// The words of normalised text: 's 't 're 've 'm 'll 'd | letters | one number | other signs.
std::vector<std::string_view> words_of(std::string_view text) {
    static constexpr std::array<std::string_view, 7> whole{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const CodePoints code(text);
    std::vector<std::string_view> words;
    const auto is_other = [](UChar32 c) { return !is_space(c) && !is_letter(c) && !is_number(c); };
    for (std::size_t i = 0; i < code.points.size();) {
        const auto begin = static_cast<std::size_t>(code.begins[i]);
        const auto rest = text.substr(begin);
        const auto fixed = std::ranges::find_if(whole, [&](std::string_view w) { return rest.starts_with(w); });
        std::size_t end = i;
        if (fixed != whole.end()) end = i + fixed->size();  // ASCII: a byte a character
        else if (is_letter(code.points[i]))
            while (end < code.points.size() && is_letter(code.points[end])) ++end;
        else if (is_number(code.points[i])) end = i + 1;
        else
            while (end < code.points.size() && is_other(code.points[end])) ++end;
        if (end == i) {  // white space
            ++i;
            continue;
        }
        words.push_back(text.substr(begin, static_cast<std::size_t>(code.begins[end]) - begin));
        i = end;
    }
    return words;
}

// GPT-2's printable stand-ins for bytes: printable Latin-1 for itself, the rest from U+0100 on, in order.
std::array<std::string, 256> byte_symbols() {
    std::array<std::string, 256> symbols;
    UChar32 next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
        const bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        append_utf8(symbols[static_cast<std::size_t>(byte)], itself ? byte : next++);
    }
    return symbols;
}

// A token that is recognised in the text before it is cut into words.
struct Added {
    std::string text;
    std::int64_t id;
    bool in_normalised;  // looked for after normalisation instead of before
};

std::string token_text(const Json& config, const char* key, std::string_view otherwise) {
    if (!config.contains(key) || config[key].is_null()) return std::string(otherwise);
    const auto& value = config[key];
    if (value.is_string()) return value.get<std::string>();
    return value.is_object() && value.contains("content") ? value["content"].get<std::string>()
                                                          : std::string(otherwise);
}

}  // namespace

struct ClipTokenizer::Impl {
    struct PairHash {
        std::size_t operator()(std::uint64_t pair) const noexcept {
            pair ^= pair >> 31;
            return static_cast<std::size_t>(pair * 0x9E3779B97F4A7C15ull);
        }
    };
    struct Merge {
        std::int32_t rank, id;
    };

    fs::path folder;
    std::unordered_map<std::string, std::int32_t> ids;
    std::vector<std::string> texts;                             // by id
    std::unordered_map<std::uint64_t, Merge, PairHash> merges;  // (left id, right id)
    std::array<std::int32_t, 256> byte_ids{}, last_byte_ids{};
    std::vector<Added> added;
    std::int32_t unknown = -1;

    static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }

    void set_vocabulary(const Json& vocabulary, const fs::path& file) {
        if (!vocabulary.is_object()) throw InputError(file.string() + ": holds no vocabulary");
        for (const auto& [text, id] : vocabulary.items()) {
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 10'000'000)
                throw InputError(fmt::format("{}: token '{}' has no usable id", file.string(), excerpt(text, 60)));
            set_token(text, id.get<std::int32_t>());
        }
    }
    void set_token(const std::string& text, std::int32_t id) {
        ids[text] = id;
        if (texts.size() <= static_cast<std::size_t>(id)) texts.resize(static_cast<std::size_t>(id) + 1);
        texts[static_cast<std::size_t>(id)] = text;
    }
    void add_merge(std::string_view left, std::string_view right, const fs::path& file) {
        const auto l = ids.find(std::string(left)), r = ids.find(std::string(right)),
                   both = ids.find(std::string(left) + std::string(right));
        if (l == ids.end() || r == ids.end() || both == ids.end())
            throw InputError(fmt::format("{}: merge '{} {}' names a token that the vocabulary lacks", file.string(),
                                         excerpt(left, 60), excerpt(right, 60)));
        merges.emplace(pair_of(l->second, r->second), Merge{static_cast<std::int32_t>(merges.size()), both->second});
    }

    void read_tokenizer_json(const fs::path& file) {
        const Json whole = read_json(file);
        const Json model = whole.value("model", Json::object());
        if (model.value("type", "BPE") != "BPE" || model.value("end_of_word_suffix", "") != word_end ||
            !model.contains("merges") || !model["merges"].is_array())
            throw InputError(file.string() + ": is no CLIP tokenizer (byte-level BPE whose words end in </w>)",
                             "give the folder of a CLIPModel");
        set_vocabulary(model.value("vocab", Json()), file);
        for (const auto& merge : model["merges"]) {
            if (merge.is_array() && merge.size() == 2) {
                add_merge(merge[0].get<std::string>(), merge[1].get<std::string>(), file);
            } else {
                const auto text = merge.get<std::string>();
                const auto blank = text.find(' ');
                if (blank == text.npos)
                    throw InputError(fmt::format("{}: merge '{}' is not a pair", file.string(), excerpt(text, 60)));
                add_merge(std::string_view(text).substr(0, blank), std::string_view(text).substr(blank + 1), file);
            }
        }
        for (const auto& token : whole.value("added_tokens", Json::array())) {
            const auto text = token.at("content").get<std::string>();
            set_token(text, token.at("id").get<std::int32_t>());
            added.push_back({text, token.at("id").get<std::int64_t>(), token.value("normalized", false)});
        }
    }

    void read_vocabulary_and_merges() {
        const auto vocabulary_file = folder / "vocab.json", merges_file = folder / "merges.txt";
        set_vocabulary(read_json(vocabulary_file), vocabulary_file);
        const auto text = read_text_file(merges_file);
        for (const auto& line : split(text, '\n')) {
            const auto entry = std::string_view(line).substr(0, line.find('\r'));
            if (entry.empty() || entry.starts_with("#version")) continue;
            const auto blank = entry.find(' ');
            if (blank == entry.npos)
                throw InputError(fmt::format("{}: merge '{}' is not a pair", merges_file.string(), excerpt(entry, 60)));
            add_merge(entry.substr(0, blank), entry.substr(blank + 1), merges_file);
        }
    }

    std::int64_t id_of(const std::string& text) const {
        const auto found = ids.find(text);
        if (found == ids.end())
            throw InputError(fmt::format("{}: the vocabulary has no token '{}'", folder.string(), text));
        return found->second;
    }

    // Merges of the lowest rank first, the leftmost among equals: a queue over a linked list, since a word may be a
    // megabyte long.
    void append_word(std::string_view word, std::vector<std::int64_t>& out) const {
        struct Symbol {
            std::int32_t id, before, after;
        };
        struct Candidate {
            std::int32_t rank, at, left, right;
            bool operator>(const Candidate& other) const {
                return std::pair(rank, at) > std::pair(other.rank, other.at);
            }
        };
        std::vector<Symbol> symbols;
        for (std::size_t i = 0; i < word.size(); ++i) {
            const auto byte = static_cast<unsigned char>(word[i]);
            const auto at = static_cast<std::int32_t>(i);
            symbols.push_back({i + 1 == word.size() ? last_byte_ids[byte] : byte_ids[byte], at - 1,
                               i + 1 == word.size() ? -1 : at + 1});
        }
        std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
        const auto consider = [&](std::int32_t at) {
            if (at < 0 || symbols[static_cast<std::size_t>(at)].after < 0) return;
            const auto left = symbols[static_cast<std::size_t>(at)].id,
                       right = symbols[static_cast<std::size_t>(symbols[static_cast<std::size_t>(at)].after)].id;
            if (const auto merge = merges.find(pair_of(left, right)); merge != merges.end())
                candidates.push({merge->second.rank, at, left, right});
        };
        for (std::size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<std::int32_t>(i));
        while (!candidates.empty()) {
            const auto best = candidates.top();
            candidates.pop();
            auto& left = symbols[static_cast<std::size_t>(best.at)];
            if (left.id != best.left || left.after < 0 ||
                symbols[static_cast<std::size_t>(left.after)].id != best.right)
                continue;  // merged meanwhile
            auto& right = symbols[static_cast<std::size_t>(left.after)];
            left.id = merges.find(pair_of(best.left, best.right))->second.id;
            left.after = right.after;
            right.id = -1;
            if (left.after >= 0) symbols[static_cast<std::size_t>(left.after)].before = best.at;
            consider(left.before);
            consider(best.at);
        }
        for (std::int32_t at = symbols.empty() ? -1 : 0; at >= 0; at = symbols[static_cast<std::size_t>(at)].after)
            out.push_back(symbols[static_cast<std::size_t>(at)].id);
    }

    // Cuts at the added tokens of one kind (leftmost first, the longest among equals) and hands what is between to
    // `plain`.
    template <class Plain> void cut_at_added(std::string_view text, bool in_normalised, std::vector<std::int64_t>& out,
                                             const Plain& plain) const {
        while (!text.empty()) {
            const Added* first = nullptr;
            std::size_t at = text.npos;
            for (const auto& token : added) {
                if (token.in_normalised != in_normalised || token.text.empty()) continue;
                const auto found = text.find(token.text);
                if (found < at || (found == at && found != text.npos && token.text.size() > first->text.size())) {
                    first = &token;
                    at = found;
                }
            }
            if (at != 0) plain(text.substr(0, at));
            if (first == nullptr) return;
            out.push_back(first->id);
            text.remove_prefix(at + first->text.size());
        }
    }
};

ClipTokenizer::ClipTokenizer(const fs::path& folder) : impl_(std::make_unique<Impl>()) {
    impl_->folder = folder;
    const bool one_file = fs::exists(folder / "tokenizer.json");
    if (!one_file && !(fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")))
        throw InputError(folder.string() + ": has neither tokenizer.json nor vocab.json with merges.txt",
                         "copy the tokenizer's files beside the weights");
    try {
        if (one_file) impl_->read_tokenizer_json(folder / "tokenizer.json");
        else impl_->read_vocabulary_and_merges();

        const Json config = read_json_if_any(folder / "tokenizer_config.json");
        const auto begin = token_text(config, "bos_token", start_of_text),
                   end = token_text(config, "eos_token", end_of_text);
        begin_id_ = impl_->id_of(begin);
        end_id_ = impl_->id_of(end);
        pad_id_ = impl_->id_of(token_text(config, "pad_token", end_of_text));
        impl_->unknown = static_cast<std::int32_t>(impl_->id_of(token_text(config, "unk_token", end_of_text)));
        for (const auto& special : {begin, end})
            if (std::ranges::find(impl_->added, special, &Added::text) == impl_->added.end())
                impl_->added.push_back({special, impl_->id_of(special), false});

        // The tower's table of positions is the true limit; tokenizer_config.json may say 1e30.
        constexpr double any = 1e9;
        double context = any;
        if (config.contains("model_max_length") && config["model_max_length"].is_number())
            context = std::min(any, config["model_max_length"].get<double>());
        if (fs::exists(folder / "config.json"))
            context = std::min(context, read_json(folder / "config.json")
                                            .value("text_config", Json::object())
                                            .value("max_position_embeddings", 77.0));
        context_ = static_cast<std::size_t>(context == any ? 77 : context);
    } catch (const Json::exception& error) {
        throw InputError(
            fmt::format("{}: the tokenizer's files cannot be understood: {}", folder.string(), error.what()));
    }

    const auto symbols = byte_symbols();
    const auto find_or_unknown = [&](const std::string& symbol) {
        const auto found = impl_->ids.find(symbol);
        return found == impl_->ids.end() ? impl_->unknown : found->second;
    };
    for (std::size_t byte = 0; byte < 256; ++byte) {
        impl_->byte_ids[byte] = find_or_unknown(symbols[byte]);
        impl_->last_byte_ids[byte] = find_or_unknown(symbols[byte] + std::string(word_end));
    }
}
ClipTokenizer::~ClipTokenizer() = default;

std::vector<std::int64_t> ClipTokenizer::encode(std::string_view text) const {
    std::vector<std::int64_t> ids{begin_id_};
    impl_->cut_at_added(text, false, ids, [&](std::string_view raw) {
        const auto clean = normalised(raw);
        impl_->cut_at_added(clean, true, ids, [&](std::string_view piece) {
            for (const auto word : words_of(piece)) impl_->append_word(word, ids);
        });
    });
    if (ids.size() > context_ - 1) ids.resize(context_ - 1);
    ids.push_back(end_id_);
    return ids;
}

std::string ClipTokenizer::decode(std::span<const std::int64_t> ids) const {
    static const auto byte_of = [] {
        std::unordered_map<std::string, char> map;
        const auto symbols = byte_symbols();
        for (std::size_t byte = 0; byte < 256; ++byte) map[symbols[byte]] = static_cast<char>(byte);
        return map;
    }();
    std::string text;
    for (const auto id : ids) {
        const bool special = std::ranges::find(impl_->added, id, &Added::id) != impl_->added.end();
        if (special || id < 0 || static_cast<std::size_t>(id) >= impl_->texts.size()) continue;
        std::string_view token = impl_->texts[static_cast<std::size_t>(id)];
        const bool ends_word = token.ends_with(word_end);
        if (ends_word) token.remove_suffix(word_end.size());
        const CodePoints code(token);
        for (std::size_t i = 0; i + 1 < code.begins.size(); ++i) {
            const auto begin = static_cast<std::size_t>(code.begins[i]);
            const auto found =
                byte_of.find(std::string(token.substr(begin, static_cast<std::size_t>(code.begins[i + 1]) - begin)));
            if (found != byte_of.end()) text += found->second;
        }
        if (ends_word) text += ' ';
    }
    std::string clean;
    for (const auto c : CodePoints(text).points) append_utf8(clean, c);
    return std::string(trimmed(clean));
}

}  // namespace tg::text
