#include "taskgalaxy/core/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>
#include <fmt/format.h>
#include <pcre2.h>
#include <string>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {
namespace {

std::string message_of(int error) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Pattern::Code {
    std::string text;
    Reading reading;
    std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled{nullptr, pcre2_code_free};

    // Where the character after the one at `at` begins.
    std::size_t after(std::string_view in, std::size_t at) const {
        ++at;
        while (reading == Reading::unicode && at < in.size() && (in[at] & 0xC0) == 0x80) ++at;
        return at;
    }
};

Pattern::Pattern(std::string_view pattern, Reading reading) {
    auto code = std::make_shared<Code>();
    code->text = pattern;
    code->reading = reading;
    int error = 0;
    std::size_t place = 0;
    const std::uint32_t options = reading == Reading::unicode ? PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF : 0;
    code->compiled.reset(pcre2_compile(units(pattern), pattern.size(), options, &error, &place, nullptr));
    if (!code->compiled)
        throw InputError(
            fmt::format("the pattern {} is wrong at character {}: {}", excerpt(pattern, 80), place, message_of(error)));
    pcre2_jit_compile(code->compiled.get(), PCRE2_JIT_COMPLETE);  // where it cannot, the interpreter serves
    code_ = std::move(code);
}

std::vector<Pattern::Span> Pattern::matches(std::string_view text) const {
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
        pcre2_match_data_create_from_pattern(code_->compiled.get(), nullptr), pcre2_match_data_free);
    std::vector<Span> found;
    for (std::size_t at = 0; at < text.size();) {
        const auto run = [&](std::uint32_t options) {
            return pcre2_match(code_->compiled.get(), units(text), text.size(), at, options, match.get(), nullptr);
        };
        int count = run(0);
        if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = run(PCRE2_NO_JIT);  // the interpreter's state is on the heap
        if (count == PCRE2_ERROR_NOMATCH) break;
        if (count < 0)
            throw InputError(fmt::format("the pattern {} cannot be matched with a text of {} bytes: {}",
                                         excerpt(code_->text, 80), text.size(), message_of(count)));
        const auto* span = pcre2_get_ovector_pointer(match.get());
        if (span[1] > span[0]) found.push_back({span[0], span[1]});
        at = span[1] > span[0] ? span[1] : code_->after(text, span[1]);
    }
    return found;
}

}  // namespace tg
