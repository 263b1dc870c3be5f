// Tokenizers of text towers (CLIP, SigLIP): a text becomes exactly the ids that its model was trained on, special
// tokens and truncation included. Checked id for id against transformers. Language models have their own kind
// (language_tokenizer.hpp), which also says where in the text a token lies. Thread-safe once made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tg::text {

class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    // Ids with begin and end tokens where the model has them; a long text is cut so that at most context() ids remain
    // and the end token stays. Not padded. Bytes that are no UTF-8 count as U+FFFD.
    virtual std::vector<std::int64_t> encode(std::string_view text) const = 0;
    // Without special tokens.
    virtual std::string decode(std::span<const std::int64_t> ids) const = 0;

    std::int64_t begin_id() const { return begin_id_; }  // -1: the model has none
    std::int64_t end_id() const { return end_id_; }
    std::int64_t pad_id() const { return pad_id_; }
    std::size_t context() const { return context_; }

protected:
    std::int64_t begin_id_ = -1, end_id_ = -1, pad_id_ = -1;
    std::size_t context_ = 0;
};

// CLIP's byte-level BPE, as transformers' CLIPTokenizer: NFC, white space collapsed, lower case, words ended by `</w>`.
// Reads tokenizer.json, or vocab.json and merges.txt; tokenizer_config.json where present. Throws InputError.
class ClipTokenizer : public Tokenizer {
public:
    explicit ClipTokenizer(const std::filesystem::path& folder);
    ~ClipTokenizer() override;
    std::vector<std::int64_t> encode(std::string_view text) const override;
    std::string decode(std::span<const std::int64_t> ids) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// SigLIP's SentencePiece model, as transformers' SiglipTokenizer: punctuation removed, lower case; no begin token.
// Reads spiece.model and tokenizer_config.json. Throws InputError.
class SiglipTokenizer : public Tokenizer {
public:
    explicit SiglipTokenizer(const std::filesystem::path& folder);
    ~SiglipTokenizer() override;
    std::vector<std::int64_t> encode(std::string_view text) const override;
    std::string decode(std::span<const std::int64_t> ids) const override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::text
