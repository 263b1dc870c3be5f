#include "python_text.hpp"

#include <charconv>
#include <cstdlib>
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation::python {
namespace {

// Calls each(code point, begin, end) until it returns false. Bytes that are no UTF-8 count as one character each.
template <class Each> void characters(std::string_view text, Each each) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    const auto size = static_cast<std::int32_t>(text.size());
    for (std::int32_t at = 0; at < size;) {
        const auto begin = at;
        UChar32 c;
        U8_NEXT(bytes, at, size, c);
        if (c < 0) {
            at = begin + 1;
            c = 0xFFFD;
        }
        if (!each(static_cast<char32_t>(c), static_cast<std::size_t>(begin), static_cast<std::size_t>(at))) return;
    }
}

bool is_ascii(std::string_view text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) >= 0x80) return false;
    return true;
}

// The text of a number in ASCII: decimal digits of any script become 0-9, underscores between digits go. Nothing where
// an underscore stands elsewhere.
std::optional<std::string> number_text(std::string_view text) {
    std::string plain;
    characters(text, [&](char32_t c, std::size_t begin, std::size_t end) {
        const auto digit = u_charType(static_cast<UChar32>(c)) == U_DECIMAL_DIGIT_NUMBER
                               ? u_charDigitValue(static_cast<UChar32>(c))
                               : -1;
        if (digit >= 0) plain += static_cast<char>('0' + digit);
        else plain += text.substr(begin, end - begin);
        return true;
    });
    const auto digit = [&](std::size_t at) { return at < plain.size() && plain[at] >= '0' && plain[at] <= '9'; };
    std::string out;
    for (std::size_t i = 0; i < plain.size(); ++i) {
        if (plain[i] != '_') out += plain[i];
        else if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
    }
    return out;
}

}  // namespace

bool is_blank(char32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string lower(std::string_view text) {
    if (is_ascii(text)) return lower_ascii(text);
    std::string out;
    icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())))
        .toLower(icu::Locale::getRoot())
        .toUTF8String(out);
    return out;
}

std::size_t length(std::string_view text) {
    std::size_t count = 0;
    characters(text, [&](char32_t, std::size_t, std::size_t) { return ++count, true; });
    return count;
}

std::string_view strip(std::string_view text) {
    std::size_t first = text.size(), last = 0;
    characters(text, [&](char32_t c, std::size_t begin, std::size_t end) {
        if (!is_blank(c)) {
            first = std::min(first, begin);
            last = end;
        }
        return true;
    });
    return first < last ? text.substr(first, last - first) : std::string_view();
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> out;
    bool open = false;
    characters(text, [&](char32_t c, std::size_t begin, std::size_t end) {
        if (is_blank(c)) open = false;
        else {
            if (!open) out.emplace_back();
            open = true;
            out.back() += text.substr(begin, end - begin);
        }
        return true;
    });
    return out;
}

std::optional<double> to_float(std::string_view text) {
    auto plain = number_text(strip(text));
    if (!plain || plain->empty()) return std::nullopt;
    std::string_view digits = *plain;
    bool negative = false;
    if (digits.front() == '+' || digits.front() == '-') {
        negative = digits.front() == '-';
        digits.remove_prefix(1);
    }
    if (digits.empty() || digits.front() == '+' || digits.front() == '-' || digits.find('(') != digits.npos)
        return std::nullopt;  // from_chars knows "nan(x)"
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range)
        value = std::strtod(std::string(digits).c_str(), nullptr);  // infinite, or as small as can be
    return negative ? -value : value;
}

std::optional<long long> to_int(std::string_view text) {
    auto plain = number_text(strip(text));
    if (!plain || plain->empty()) return std::nullopt;
    std::string_view digits = *plain;
    if (digits.front() == '+') digits.remove_prefix(1);
    if (digits.starts_with("+") || (plain->front() == '+' && digits.starts_with("-"))) return std::nullopt;
    long long value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

bool has_cjk(std::string_view text) {
    bool found = false;
    characters(text, [&](char32_t c, std::size_t, std::size_t) { return !(found = c >= 0x4E00 && c <= 0x9FFF); });
    return found;
}

}  // namespace tg::evaluation::python
