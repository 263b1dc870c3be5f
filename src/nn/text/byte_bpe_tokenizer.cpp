#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include <fmt/format.h>
#include <unicode/unistr.h>

#include "nfc.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/pattern.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/text/language_tokenizer.hpp"

namespace tg::text {

using nlohmann::json;

namespace {

// GPT-2's reversible alphabet: every byte as a printable character.
struct ByteAlphabet {
    std::array<std::string, 256> of_byte;
    std::unordered_map<std::string, char> to_byte;
    ByteAlphabet() {
        int extra = 0;
        for (int b = 0; b < 256; ++b) {
            const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
            const int point = printable ? b : 256 + extra++;
            std::string text;
            if (point < 0x80) text = {static_cast<char>(point)};
            else text = {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
            to_byte[text] = static_cast<char>(b);
            of_byte[static_cast<std::size_t>(b)] = text;
        }
    }
};
const ByteAlphabet& alphabet() {
    static const ByteAlphabet the;
    return the;
}

constexpr const char* gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using Stretch = Pattern::Span;

// One step of the pre-tokenizer cuts every stretch further: matches and what lies between them become stretches of
// their own
// ("Isolated"), as all published byte-level tokenizers ask for.
std::vector<Stretch> cut(const Pattern& at, std::string_view text, const std::vector<Stretch>& stretches) {
    std::vector<Stretch> out;
    for (const auto& s : stretches) {
        auto plain = s.begin;
        for (const auto& found : at.matches(text.substr(s.begin, s.end - s.begin))) {
            if (s.begin + found.begin > plain) out.push_back({plain, s.begin + found.begin});
            out.push_back({s.begin + found.begin, s.begin + found.end});
            plain = s.begin + found.end;
        }
        if (plain < s.end) out.push_back({plain, s.end});
    }
    return out;
}

struct PairHash {
    std::size_t operator()(const std::pair<std::int32_t, std::int32_t>& p) const {
        return std::hash<std::uint64_t>{}((static_cast<std::uint64_t>(p.first) << 32) ^
                                          static_cast<std::uint32_t>(p.second));
    }
};

}  // namespace

struct ByteBpeTokenizer::Impl {
    std::unordered_map<std::string, std::int32_t> vocabulary;
    std::vector<std::string> texts;  // by id
    struct Merge {
        std::int32_t rank, result;
    };
    std::unordered_map<std::pair<std::int32_t, std::int32_t>, Merge, PairHash> merges;
    std::array<std::int32_t, 256> byte_ids{};
    std::vector<Pattern> cutters;
    bool composes = false, add_prefix_space = false, ignore_merges = false;

    void bpe(std::string_view bytes, std::size_t offset, std::vector<Token>& out) const;
    void add_pre_tokenizer(const json& step, const std::string& where, int depth = 0);
};

// Merges the pair of lowest rank, leftmost first, until none is left: a heap of candidate pairs over a linked list of
// symbols.
void ByteBpeTokenizer::Impl::bpe(std::string_view bytes, std::size_t offset, std::vector<Token>& out) const {
    if (ignore_merges) {
        std::string whole;
        for (const char c : bytes) whole += alphabet().of_byte[static_cast<unsigned char>(c)];
        if (const auto found = vocabulary.find(whole); found != vocabulary.end()) {
            out.push_back({found->second, offset, offset + bytes.size()});
            return;
        }
    }
    struct Symbol {
        std::int32_t id, previous, next;
        std::size_t begin, length;
    };
    struct Candidate {
        std::int32_t rank, left, left_id, right_id, result;
        bool operator<(const Candidate& o) const { return rank != o.rank ? rank > o.rank : left > o.left; }
    };
    std::vector<Symbol> symbols;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto n = static_cast<std::int32_t>(i);
        symbols.push_back(
            {byte_ids[static_cast<unsigned char>(bytes[i])], n - 1, i + 1 < bytes.size() ? n + 1 : -1, i, 1});
    }
    std::priority_queue<Candidate> queue;
    const auto offer = [&](std::int32_t left) {
        if (left < 0 || symbols[static_cast<std::size_t>(left)].next < 0) return;
        const auto& a = symbols[static_cast<std::size_t>(left)];
        const auto& b = symbols[static_cast<std::size_t>(a.next)];
        if (const auto found = merges.find({a.id, b.id}); found != merges.end())
            queue.push({found->second.rank, left, a.id, b.id, found->second.result});
    };
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i) offer(i);
    while (!queue.empty()) {
        const auto best = queue.top();
        queue.pop();
        auto& left = symbols[static_cast<std::size_t>(best.left)];
        if (left.length == 0 || left.id != best.left_id || left.next < 0) continue;
        auto& right = symbols[static_cast<std::size_t>(left.next)];
        if (right.id != best.right_id) continue;
        left.id = best.result;
        left.length += right.length;
        right.length = 0;
        left.next = right.next;
        if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = best.left;
        offer(left.previous);
        offer(best.left);
    }
    for (const auto& s : symbols)
        if (s.length > 0) out.push_back({s.id, offset + s.begin, offset + s.begin + s.length});
}

void ByteBpeTokenizer::Impl::add_pre_tokenizer(const json& step, const std::string& where, int depth) {
    if (depth > 8) throw InputError(where + ": pre-tokenizers lie inside each other more than 8 deep");
    const auto type = step.value("type", "");
    const auto add = [&](const std::string& pattern) {
        try {
            cutters.emplace_back(pattern, Pattern::Reading::unicode);
        } catch (const InputError& error) {
            throw InputError(fmt::format("{}: pre_tokenizer: {}", where, error.what()));
        }
    };
    if (type == "Sequence") {
        for (const auto& inner : step.at("pretokenizers")) add_pre_tokenizer(inner, where, depth + 1);
    } else if (type == "ByteLevel") {
        add_prefix_space = step.value("add_prefix_space", false);
        if (step.value("use_regex", true)) add(gpt2_pattern);
    } else if (type == "Digits") {
        add(step.value("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Split" && step.value("behavior", "") == "Isolated" && !step.value("invert", false) &&
               step.at("pattern").contains("Regex")) {
        add(step.at("pattern").at("Regex").get<std::string>());
    } else {
        throw InputError(fmt::format("{}: pre-tokenizer {} is not supported", where, excerpt(step.dump(), 120)),
                         "known here: Sequence, ByteLevel, Digits, Split (Isolated, Regex)");
    }
}

ByteBpeTokenizer::~ByteBpeTokenizer() = default;

ByteBpeTokenizer::ByteBpeTokenizer(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>()) {
    const auto file = folder / "tokenizer.json";
    const auto where = file.string();
    auto& impl = *impl_;
    try {
        const auto description = read_json(file);
        const auto& model = description.at("model");
        if (model.value("type", "BPE") != "BPE")
            throw InputError(fmt::format("{}: model {} is not supported", where, model.value("type", "")),
                             "known here: BPE");
        if (model.value("byte_fallback", false))
            throw InputError(where + ": a SentencePiece-like tokenizer.json is not supported",
                             "put tokenizer.model beside it");
        for (const auto& [text, id] : model.at("vocab").items()) {
            const auto n = id.get<std::int64_t>();
            if (n < 0 || n >= (1 << 20))
                throw InputError(fmt::format("{}: token {} has id {}", where, excerpt(text, 40), n));
            impl.vocabulary.emplace(text, static_cast<std::int32_t>(n));
            if (static_cast<std::size_t>(n) >= impl.texts.size()) impl.texts.resize(static_cast<std::size_t>(n) + 1);
            impl.texts[static_cast<std::size_t>(n)] = text;
        }
        impl.ignore_merges = model.value("ignore_merges", false);
        std::int32_t rank = 0;
        for (const auto& merge : model.at("merges")) {
            std::string left, right;
            if (merge.is_string()) {
                const auto pair = split(merge.get<std::string>(), ' ');
                if (pair.size() != 2)
                    throw InputError(
                        fmt::format("{}: merge {} is not a pair: {}", where, rank, excerpt(merge.dump(), 60)));
                left = pair[0], right = pair[1];
            } else {
                left = merge.at(0).get<std::string>(), right = merge.at(1).get<std::string>();
            }
            const auto a = impl.vocabulary.find(left), b = impl.vocabulary.find(right),
                       both = impl.vocabulary.find(left + right);
            if (a == impl.vocabulary.end() || b == impl.vocabulary.end() || both == impl.vocabulary.end())
                throw InputError(
                    fmt::format("{}: merge {} of '{}' and '{}' makes or uses what is not in the vocabulary", where,
                                rank, excerpt(left, 30), excerpt(right, 30)));
            impl.merges.try_emplace({a->second, b->second}, Impl::Merge{rank, both->second});
            ++rank;
        }
        for (std::size_t b = 0; b < 256; ++b) {
            const auto found = impl.vocabulary.find(alphabet().of_byte[b]);
            impl.byte_ids[b] = found == impl.vocabulary.end() ? -1 : found->second;
        }
        if (const auto found = description.find("normalizer"); found != description.end() && !found->is_null()) {
            const auto type = found->value("type", "");
            if (type != "NFC")
                throw InputError(fmt::format("{}: normalizer {} is not supported", where, type),
                                 "known here: none, NFC");
            impl.composes = true;
        }
        if (!description.contains("pre_tokenizer") || description["pre_tokenizer"].is_null())
            throw InputError(where + ": no pre-tokenizer", "ByteLevel is needed");
        impl.add_pre_tokenizer(description["pre_tokenizer"], where);

        std::vector<AddedToken> added;
        for (const auto& token : description.value("added_tokens", json::array()))
            added.push_back({token.at("id").get<std::int64_t>(), token.at("content").get<std::string>(),
                             token.value("special", false), token.value("lstrip", false),
                             token.value("rstrip", false)});
        set_added_tokens(std::move(added));

        const auto config_file = folder / "tokenizer_config.json";
        const auto config = read_json_if_any(config_file);
        const auto named = [&](const char* key) -> std::optional<std::int64_t> {
            if (!config.contains(key) || config[key].is_null()) return std::nullopt;
            const auto text =
                config[key].is_string() ? config[key].get<std::string>() : config[key].value("content", "");
            if (const auto id = id_of(text)) return id;
            const auto found = impl.vocabulary.find(text);
            return found == impl.vocabulary.end() ? std::nullopt : std::optional<std::int64_t>(found->second);
        };
        bos_ = named("bos_token");
        const auto eos = named("eos_token");
        if (!eos) throw InputError(fmt::format("{}: no eos_token that the vocabulary knows", config_file.string()));
        eos_ = *eos;
        add_bos_ =
            config.value("add_bos_token", false) ||
            description.value("post_processor", json()).dump().find("\"TemplateProcessing\"") != std::string::npos;
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{}: {}", where, e.what()));
    }
}

void ByteBpeTokenizer::tokenize_plain(std::string_view given, bool first, std::size_t offset,
                                      std::vector<Token>& out) const {
    std::string text(given);
    bool moved = false;  // normalisation changed lengths: tokens then know only where their text begins, at most
    if (impl_->composes) {
        text = nfc(given);
        moved = text.size() != given.size();
    }
    std::size_t shift = 0;
    if (impl_->add_prefix_space && first && !text.starts_with(' ')) {
        text.insert(0, " ");
        shift = 1;
    }
    std::vector<Stretch> stretches{{0, text.size()}};
    for (const auto& cutter : impl_->cutters) stretches = cut(cutter, text, stretches);
    const auto before = out.size();
    for (const auto& s : stretches) impl_->bpe(std::string_view(text).substr(s.begin, s.end - s.begin), s.begin, out);
    for (auto i = before; i < out.size(); ++i) {
        auto& token = out[i];
        if (token.id < 0) throw InputError("a byte of the text has no token in this byte-level vocabulary");
        token.begin = offset + (token.begin > shift ? token.begin - shift : 0);
        token.end = offset + (token.end > shift ? token.end - shift : 0);
        if (moved) {
            token.begin = std::min(token.begin, offset + given.size());
            token.end = std::min(token.end, offset + given.size());
        }
    }
}

std::string ByteBpeTokenizer::decode_plain(std::span<const std::int64_t> ids, bool) const {
    std::string text;
    for (const auto id : ids) {
        if (id < 0 || static_cast<std::size_t>(id) >= impl_->texts.size()) continue;
        const auto& token = impl_->texts[static_cast<std::size_t>(id)];
        for (std::size_t i = 0; i < token.size();) {
            const std::size_t length = (token[i] & 0x80) == 0      ? 1
                                       : (token[i] & 0xE0) == 0xC0 ? 2
                                       : (token[i] & 0xF0) == 0xE0 ? 3
                                                                   : 4;
            const auto found = alphabet().to_byte.find(token.substr(i, length));
            if (found != alphabet().to_byte.end()) text += found->second;
            else text += token.substr(i, length);
            i += length;
        }
    }
    // Tokens are bytes, and a model may say half a character: U+FFFD in its place, as the tokenizers library puts it.
    std::string whole;
    icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())))
        .toUTF8String(whole);
    return whole;
}

}  // namespace tg::text
