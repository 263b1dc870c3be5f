#include <algorithm>
#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/text/tokenizer.hpp"

namespace tg::text {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::string_view word_mark = "▁";  // U+2581, SentencePiece's blank

// Python's idea of white space, which transformers' \s follows: Unicode's, and the four ASCII separators.
bool is_python_space(UChar32 c) { return (c >= 0x1C && c <= 0x1F) || u_isUWhiteSpace(c); }
bool is_ascii_punctuation(UChar32 c) { return c < 0x80 && c > 0x20 && c != 0x7F && !u_isalnum(c); }

// Lower case, ASCII punctuation removed, white space collapsed and trimmed.
std::string canonical(std::string_view text, bool lower) {
    auto wide = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
    if (lower) wide.toLower(icu::Locale::getRoot());
    icu::UnicodeString out;
    bool blank_waits = false;
    for (std::int32_t i = 0; i < wide.length(); i = wide.moveIndex32(i, 1)) {
        const auto c = wide.char32At(i);
        if (is_ascii_punctuation(c)) continue;
        if (is_python_space(c)) {
            blank_waits = !out.isEmpty();
            continue;
        }
        if (blank_waits) out.append(static_cast<UChar>(' '));
        blank_waits = false;
        out.append(c);
    }
    std::string bytes;
    out.toUTF8String(bytes);
    return bytes;
}

std::string text_of(const Json& config, const char* key, std::string_view otherwise) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) return std::string(otherwise);
    return found->is_object() ? found->value("content", std::string(otherwise)) : found->get<std::string>();
}

}  // namespace

struct SiglipTokenizer::Impl {
    sentencepiece::SentencePieceProcessor model;
    std::string unknown;  // text of the unknown token; stands in front while encoding, so that the word mark is kept
    std::size_t unknown_pieces = 0;  // and this many pieces of it are taken off again
    std::vector<std::pair<std::string, std::int64_t>> special;
    bool lower = true;

    void append_plain(std::string_view text, std::vector<std::int64_t>& ids) const {
        std::vector<int> pieces;
        if (const auto status = model.Encode(unknown + canonical(text, lower), &pieces); !status.ok())
            throw std::runtime_error("SentencePiece: " + status.ToString());
        const auto skipped = pieces.size() >= unknown_pieces ? unknown_pieces : 0;
        ids.insert(ids.end(), pieces.begin() + static_cast<std::ptrdiff_t>(skipped), pieces.end());
    }
};

SiglipTokenizer::SiglipTokenizer(const fs::path& folder) : impl_(std::make_unique<Impl>()) {
    const auto file = folder / "spiece.model";
    if (!fs::exists(file))
        throw InputError(file.string() + ": is missing", "copy SigLIP's SentencePiece model beside the weights");
    if (const auto status = impl_->model.Load(file.string()); !status.ok())
        throw InputError(fmt::format("{} is not a SentencePiece model: {}", file.string(), status.ToString()));
    const Json config = read_json_if_any(folder / "tokenizer_config.json");
    if (!config.is_object()) throw InputError((folder / "tokenizer_config.json").string() + ": is not a JSON object");
    try {
        const auto end = text_of(config, "eos_token", "</s>"), pad = text_of(config, "pad_token", "</s>");
        impl_->unknown = text_of(config, "unk_token", "<unk>");
        impl_->lower = config.value("do_lower_case", true);
        impl_->unknown_pieces = impl_->model.EncodeAsIds(impl_->unknown).size();
        for (const auto& text : {end, pad, impl_->unknown}) {
            const auto id = impl_->model.PieceToId(text);
            if (impl_->model.IdToPiece(id) != text)
                throw InputError(fmt::format("{}: has no piece {}", file.string(), text));
            if (std::ranges::find(impl_->special, text, &std::pair<std::string, std::int64_t>::first) ==
                impl_->special.end())
                impl_->special.emplace_back(text, id);
        }
        end_id_ = impl_->model.PieceToId(end);
        pad_id_ = impl_->model.PieceToId(pad);
        const double longest = config.value("model_max_length", 64.0);
        context_ = longest < 1e6 ? static_cast<std::size_t>(longest) : 64;
    } catch (const Json::exception& error) {
        throw InputError(
            fmt::format("{}: cannot be understood: {}", (folder / "tokenizer_config.json").string(), error.what()));
    }
}
SiglipTokenizer::~SiglipTokenizer() = default;

std::vector<std::int64_t> SiglipTokenizer::encode(std::string_view text) const {
    const auto marked = std::string(word_mark) + replace_all(std::string(text), std::string(word_mark), " ");
    std::string_view rest = marked;
    std::vector<std::int64_t> ids;
    bool special_second = false;  // a special token itself, not a character that is unknown
    while (!rest.empty()) {
        const std::pair<std::string, std::int64_t>* first = nullptr;
        std::size_t at = rest.npos;
        for (const auto& token : impl_->special) {
            const auto found = rest.find(token.first);
            if (found < at) {
                first = &token;
                at = found;
            }
        }
        if (!trimmed(rest.substr(0, at)).empty()) impl_->append_plain(rest.substr(0, at), ids);
        if (first == nullptr) break;
        special_second = special_second || ids.size() == 1;
        ids.push_back(first->second);
        rest.remove_prefix(at + first->first.size());
    }
    if (special_second && ids[0] == impl_->model.PieceToId(word_mark)) ids.erase(ids.begin());
    if (ids.size() > context_ - 1) ids.resize(context_ - 1);
    if (ids.empty() || ids.back() != end_id_) ids.push_back(end_id_);
    return ids;
}

std::string SiglipTokenizer::decode(std::span<const std::int64_t> ids) const {
    std::vector<int> known;
    for (const auto id : ids)
        if (id >= 0 && id < impl_->model.GetPieceSize() &&
            std::ranges::find(impl_->special, id, &std::pair<std::string, std::int64_t>::second) ==
                impl_->special.end())
            known.push_back(static_cast<int>(id));
    return std::string(trimmed(impl_->model.DecodeIds(known)));
}

}  // namespace tg::text
