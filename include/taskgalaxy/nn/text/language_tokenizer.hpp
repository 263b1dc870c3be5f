// Tokenizers of language models: ids with the bytes they come from (labels are marked by byte spans), special tokens
// recognised in the text, and text from ids. Thread-safe once made. A kind of tokenizer is one file and one row in
// make_language_tokenizer().
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tg::text {

struct Token {
    std::int64_t id = 0;
    std::size_t begin = 0, end = 0;  // bytes of the text it was made from; empty for a dummy prefix
};

// A token that is recognised in the text before anything else happens to it.
struct AddedToken {
    std::int64_t id = 0;
    std::string text;
    bool special = true;                           // left out by decode()
    bool strip_left = false, strip_right = false;  // swallows blanks beside it
};

class LanguageTokenizer {
public:
    virtual ~LanguageTokenizer() = default;
    // No bos or eos is added.
    std::vector<Token> tokenize(std::string_view text) const;
    std::vector<std::int64_t> encode(std::string_view text) const;
    // Special tokens left out; UTF-8, with U+FFFD for bytes that make no character.
    std::string decode(std::span<const std::int64_t> ids) const;

    std::optional<std::int64_t> bos() const { return bos_; }
    std::int64_t eos() const { return eos_; }
    bool begins_with_bos() const { return add_bos_ && bos_; }  // what the model was trained with
    std::optional<std::int64_t> id_of(std::string_view added_token) const;
    const std::vector<AddedToken>& added_tokens() const { return added_; }

protected:
    // The text between added tokens; `first`: it begins the whole text, `offset`: where it lies in it.
    virtual void tokenize_plain(std::string_view text, bool first, std::size_t offset,
                                std::vector<Token>& out) const = 0;
    virtual std::string decode_plain(std::span<const std::int64_t> ids, bool first) const = 0;
    void set_added_tokens(std::vector<AddedToken> tokens);

    std::optional<std::int64_t> bos_;
    std::int64_t eos_ = -1;
    bool add_bos_ = false;

private:
    std::vector<AddedToken> added_;  // longer texts first
    std::map<std::int64_t, const AddedToken*> added_by_id_;
};

// LLaMA's SentencePiece model. `legacy` of tokenizer_config.json (absent: true) decides whether the text behind a
// special token gets a dummy blank in front, as in transformers' slow LlamaTokenizer.
class SentencePieceTokenizer : public LanguageTokenizer {
public:
    explicit SentencePieceTokenizer(
        const std::filesystem::path& folder);  // tokenizer.model, tokenizer_config.json, added_tokens.json
    ~SentencePieceTokenizer() override;

protected:
    void tokenize_plain(std::string_view text, bool first, std::size_t offset, std::vector<Token>& out) const override;
    std::string decode_plain(std::span<const std::int64_t> ids, bool first) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Byte-level BPE from tokenizer.json (Qwen2, SmolLM2, LLaMA-3): NFC, pre-tokenizer patterns and merges as the
// `tokenizers` library runs them. Throws InputError naming a step it does not know.
class ByteBpeTokenizer : public LanguageTokenizer {
public:
    explicit ByteBpeTokenizer(const std::filesystem::path& folder);
    ~ByteBpeTokenizer() override;

protected:
    void tokenize_plain(std::string_view text, bool first, std::size_t offset, std::vector<Token>& out) const override;
    std::string decode_plain(std::span<const std::int64_t> ids, bool first) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// By the files of the folder: tokenizer.model, else tokenizer.json. Throws InputError where there is neither.
std::unique_ptr<LanguageTokenizer> make_language_tokenizer(const std::filesystem::path& folder);

}  // namespace tg::text
