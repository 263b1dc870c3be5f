// Regular expressions (PCRE2) over texts of any length: its matcher keeps its state on the heap, so a million
// characters are no deeper recursion. Compiled once, used from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace tg {

class Pattern {
public:
    enum class Reading {
        bytes,
        unicode
    };  // unicode: UTF-8, with Unicode's classes; bytes that are no UTF-8 match nothing
    // Throws InputError with the place of the mistake.
    explicit Pattern(std::string_view pattern, Reading reading = Reading::bytes);

    struct Span {
        std::size_t begin, end;
    };
    // All matches that are not empty, from left to right, none inside another. Throws InputError where the pattern
    // needs more steps on this text than PCRE2 allows (10 million).
    std::vector<Span> matches(std::string_view text) const;

private:
    struct Code;
    std::shared_ptr<const Code> code_;
};

}  // namespace tg
