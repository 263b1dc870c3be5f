// An answer as text while its tokens come, for who reads along: what is told is never taken back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "taskgalaxy/nn/text/language_tokenizer.hpp"

namespace tg::generation {

class TextStream {
public:
    explicit TextStream(const text::LanguageTokenizer& tokenizer) : tokenizer_(&tokenizer) {}

    // What this token adds, in whole characters: a token may end inside one. Often "".
    std::string add(std::int64_t token);
    // Behind the last token: a character that was never finished, else "".
    std::string rest() const;

private:
    const text::LanguageTokenizer* tokenizer_;
    std::vector<std::int64_t> tokens_;
    std::size_t told_ = 0;  // bytes of their text
};

}  // namespace tg::generation
