#include "text_stream.hpp"

#include <string_view>
#include <utility>

namespace tg::generation {

namespace {

// How much of `text` is whole characters.
std::size_t whole_characters(std::string_view text) {
    constexpr std::string_view replacement =
        "\xEF\xBF\xBD";  // what decode() puts for bytes that are none yet, at most three
    auto size = text.size();
    for (int bytes = 0; bytes < 3 && text.substr(0, size).ends_with(replacement); ++bytes) size -= replacement.size();
    return size;
}

}  // namespace

std::string TextStream::add(std::int64_t token) {
    tokens_.push_back(token);
    const auto text = tokenizer_->decode(tokens_);
    const auto whole = whole_characters(text);
    if (whole <= told_) return "";
    const auto begin = std::exchange(told_, whole);
    return text.substr(begin, whole - begin);
}

std::string TextStream::rest() const {
    const auto text = tokenizer_->decode(tokens_);
    return text.size() > told_ ? text.substr(told_) : "";
}

}  // namespace tg::generation
