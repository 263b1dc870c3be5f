#include "taskgalaxy/nn/text/language_tokenizer.hpp"

#include <algorithm>

#include "taskgalaxy/core/error.hpp"

namespace tg::text {

void LanguageTokenizer::set_added_tokens(std::vector<AddedToken> tokens) {
    added_ = std::move(tokens);
    std::erase_if(added_, [](const AddedToken& token) { return token.text.empty(); });
    std::stable_sort(added_.begin(), added_.end(),
                     [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
    added_by_id_.clear();
    for (const auto& token : added_) added_by_id_.emplace(token.id, &token);
}

std::optional<std::int64_t> LanguageTokenizer::id_of(std::string_view added_token) const {
    for (const auto& token : added_)
        if (token.text == added_token) return token.id;
    return std::nullopt;
}

std::vector<Token> LanguageTokenizer::tokenize(std::string_view text) const {
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 3 + 8);
    const auto is_blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    std::size_t plain_begin = 0, at = 0;
    const auto flush = [&](std::size_t end) {
        if (end > plain_begin)
            tokenize_plain(text.substr(plain_begin, end - plain_begin), plain_begin == 0, plain_begin, tokens);
    };
    while (at < text.size()) {
        // The earliest added token, the longest of those that begin there.
        const auto found = std::find_if(added_.begin(), added_.end(), [&](const AddedToken& token) {
            return text[at] == token.text[0] && text.substr(at).starts_with(token.text);
        });
        if (found == added_.end()) {
            ++at;
            continue;
        }
        auto end_of_plain = at;
        if (found->strip_left)
            while (end_of_plain > plain_begin && is_blank(text[end_of_plain - 1])) --end_of_plain;
        flush(end_of_plain);
        tokens.push_back({found->id, at, at + found->text.size()});
        at += found->text.size();
        if (found->strip_right)
            while (at < text.size() && is_blank(text[at])) ++at;
        plain_begin = at;
    }
    flush(text.size());
    return tokens;
}

std::vector<std::int64_t> LanguageTokenizer::encode(std::string_view text) const {
    std::vector<std::int64_t> ids;
    for (const auto& token : tokenize(text)) ids.push_back(token.id);
    return ids;
}

std::string LanguageTokenizer::decode(std::span<const std::int64_t> ids) const {
    std::string text;
    std::size_t plain_begin = 0;
    const auto flush = [&](std::size_t end) {
        if (end > plain_begin) text += decode_plain(ids.subspan(plain_begin, end - plain_begin), plain_begin == 0);
    };
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto found = added_by_id_.find(ids[i]);
        if (found == added_by_id_.end()) continue;
        flush(i);
        if (!found->second->special) text += found->second->text;
        plain_begin = i + 1;
    }
    flush(ids.size());
    return text;
}

std::unique_ptr<LanguageTokenizer> make_language_tokenizer(const std::filesystem::path& folder) {
    struct Row {
        const char* file;
        std::unique_ptr<LanguageTokenizer> (*make)(const std::filesystem::path&);
    };
    static constexpr Row kinds[] = {
        {"tokenizer.model",
         [](const std::filesystem::path& f) -> std::unique_ptr<LanguageTokenizer> {
             return std::make_unique<SentencePieceTokenizer>(f);
         }},
        {"tokenizer.json",
         [](const std::filesystem::path& f) -> std::unique_ptr<LanguageTokenizer> {
             return std::make_unique<ByteBpeTokenizer>(f);
         }},
    };
    for (const auto& kind : kinds)
        if (std::filesystem::exists(folder / kind.file)) return kind.make(folder);
    throw InputError(folder.string() + " holds no tokenizer", "tokenizer.model or tokenizer.json is needed");
}

}  // namespace tg::text
