#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/text/language_tokenizer.hpp"

namespace tg::text {

using nlohmann::json;

struct SentencePieceTokenizer::Impl {
    sentencepiece::SentencePieceProcessor model;
    bool legacy = true;
    std::size_t guard_pieces = 0;  // how many pieces the model makes of the unknown token's text
    std::string guard;
};

namespace {

// "</s>", or {"content": "</s>", ...}
std::string text_of(const json& token) {
    if (token.is_string()) return token.get<std::string>();
    return token.is_object() ? token.value("content", "") : "";
}

std::int64_t id_of_key(const std::string& key) {
    std::int64_t id = 0;
    const auto* end = key.data() + key.size();
    if (const auto [rest, error] = std::from_chars(key.data(), end, id); error != std::errc{} || rest != end || id < 0)
        throw InputError(fmt::format("added_tokens_decoder: '{}' is no token id", excerpt(key, 40)));
    return id;
}

}  // namespace

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>()) {
    try {
        const auto file = folder / "tokenizer.model";
        const auto config = read_json_if_any(folder / "tokenizer_config.json");
        auto bytes = read_text_file(file);
        impl_->legacy = !config.contains("legacy") || config["legacy"].is_null() || config["legacy"].get<bool>();
        // Protocol buffers merge what is appended: ModelProto.normalizer_spec (3) { add_dummy_prefix (3) = false }.
        if (!impl_->legacy) bytes.append("\x1a\x02\x18\x00", 4);
        if (const auto status = impl_->model.LoadFromSerializedProto(bytes); !status.ok())
            throw InputError(fmt::format("{} is not a SentencePiece model: {}", file.string(), status.ToString()));

        const auto named = [&](const char* key, const char* otherwise) {
            auto text = config.contains(key) ? text_of(config[key]) : std::string();
            return text.empty() ? std::string(otherwise) : text;
        };
        const auto bos = named("bos_token", "<s>"), eos = named("eos_token", "</s>"),
                   unknown = named("unk_token", "<unk>");
        std::map<std::string, AddedToken> added;
        const auto piece_id = [&](const std::string& text) -> std::optional<std::int64_t> {
            const auto id = impl_->model.PieceToId(text);
            if (id == impl_->model.unk_id() && text != impl_->model.IdToPiece(id)) return std::nullopt;
            return id;
        };
        for (const auto& text : {unknown, bos, eos})
            if (const auto id = piece_id(text)) added[text] = {*id, text};
        const auto old_file = read_json_if_any(folder / "added_tokens.json");
        for (const auto& [text, id] : old_file.items()) added[text] = {id.get<std::int64_t>(), text};
        const auto decoder = config.value("added_tokens_decoder", json::object());
        for (const auto& [id, token] : decoder.items()) {
            const auto text = text_of(token);
            added[text] = {id_of_key(id), text, token.value("special", false), token.value("lstrip", false),
                           token.value("rstrip", false)};
        }
        if (added.contains(bos)) bos_ = added[bos].id;
        if (!added.contains(eos))
            throw InputError(fmt::format("{}: no end token {} in the vocabulary", folder.string(), eos));
        eos_ = added[eos].id;
        add_bos_ = config.value("add_bos_token", true);

        impl_->guard = unknown;
        impl_->guard_pieces = impl_->model.EncodeAsIds(unknown).size();
        std::vector<AddedToken> list;
        for (auto& [text, token] : added) list.push_back(std::move(token));
        set_added_tokens(std::move(list));
    } catch (const json::exception& error) {
        throw InputError(fmt::format("{}: the JSON files of its tokenizer: {}", folder.string(), error.what()));
    }
}

void SentencePieceTokenizer::tokenize_plain(std::string_view text, bool first, std::size_t offset,
                                            std::vector<Token>& out) const {
    const auto put = [&](const auto& pieces, std::size_t from, std::size_t shift) {
        for (std::size_t i = from; i < pieces.size(); ++i) {
            const auto at = [&](std::size_t position) { return offset + (position > shift ? position - shift : 0); };
            out.push_back({static_cast<std::int64_t>(pieces[i].id()), at(pieces[i].begin()), at(pieces[i].end())});
        }
    };
    if (impl_->legacy) {
        const auto encoded = impl_->model.EncodeAsImmutableProto({text.data(), text.size()});
        put(encoded.pieces(), 0, 0);
        return;
    }
    // As transformers: the whole text begins with a blank, and a guard in front, whose pieces are taken off again,
    // keeps leading blanks.
    std::string plain(text);
    std::size_t shift = 0;
    if (first) {
        plain = " " + plain;
        shift = 1;
    }
    std::size_t skip = 0;
    if (plain.starts_with(' ') || plain.starts_with("▁")) {
        plain.insert(0, impl_->guard);
        shift += impl_->guard.size();
        skip = impl_->guard_pieces;
    }
    const auto encoded = impl_->model.EncodeAsImmutableProto(plain);
    put(encoded.pieces(), std::min(skip, encoded.pieces_size()), shift);
}

std::string SentencePieceTokenizer::decode_plain(std::span<const std::int64_t> ids, bool first) const {
    std::vector<int> known;
    for (const auto id : ids)
        if (id >= 0 && id < impl_->model.GetPieceSize()) known.push_back(static_cast<int>(id));
    auto text = impl_->model.DecodeIds(known);
    if (!impl_->legacy && first && text.starts_with(' ')) text.erase(0, 1);
    return text;
}

}  // namespace tg::text
