#include "taskgalaxy/evaluation/list_literal.hpp"

#include <charconv>
#include <cstdint>

#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

void append_utf8(std::string& out, std::uint32_t code) {
    if (code < 0x80) out += static_cast<char>(code);
    else if (code < 0x800) (out += static_cast<char>(0xC0 | code >> 6)) += static_cast<char>(0x80 | (code & 0x3F));
    else if (code < 0x10000)
        ((out += static_cast<char>(0xE0 | code >> 12)) += static_cast<char>(0x80 | (code >> 6 & 0x3F))) +=
            static_cast<char>(0x80 | (code & 0x3F));
    else
        (((out += static_cast<char>(0xF0 | code >> 18)) += static_cast<char>(0x80 | (code >> 12 & 0x3F))) +=
         static_cast<char>(0x80 | (code >> 6 & 0x3F))) += static_cast<char>(0x80 | (code & 0x3F));
}

// Reads the escape after a backslash; `text` begins behind the backslash and is moved past the escape.
void read_escape(std::string_view& text, std::string& out) {
    const char kind = text.front();
    text.remove_prefix(1);
    const auto hex = [&](std::size_t digits) {
        std::uint32_t code = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + std::min(digits, text.size()), code, 16);
        if (error != std::errc{} || end != text.data() + digits || code > 0x10FFFF) (out += '\\') += kind;
        else {
            append_utf8(out, code);
            text.remove_prefix(digits);
        }
    };
    switch (kind) {
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'r': out += '\r'; break;
        case '\\':
        case '\'':
        case '"':
        case '/': out += kind; break;
        case 'x': hex(2); break;
        case 'u': hex(4); break;
        case 'U': hex(8); break;
        case '\n': break;                       // a continued line
        default: (out += '\\') += kind; break;  // Python keeps what it does not know
    }
}

void skip_blank(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

bool read_item(std::string_view& text, std::string& item) {
    bool any = false;
    for (skip_blank(text); !text.empty() && (text.front() == '\'' || text.front() == '"');
         skip_blank(text)) {  // adjacent texts are one
        const char quote = text.front();
        for (text.remove_prefix(1);;) {
            if (text.empty()) return false;
            const char c = text.front();
            text.remove_prefix(1);
            if (c == quote) break;
            if (c != '\\') item += c;
            else if (text.empty()) return false;
            else read_escape(text, item);
        }
        any = true;
    }
    if (any) return true;
    const auto end = text.find_first_of(",]");
    if (end == text.npos) return false;
    const auto bare = trimmed(text.substr(0, end));
    // Only numbers and constants stand bare; anything else ("[see figure]") is a text that happens to begin with a
    // bracket.
    double number = 0;
    const auto unsigned_part = bare.starts_with('+') ? bare.substr(1) : bare;
    const auto [stop, error] =
        std::from_chars(unsigned_part.data(), unsigned_part.data() + unsigned_part.size(), number);
    const bool constant =
        bare == "None" || bare == "True" || bare == "False" || bare == "null" || bare == "true" || bare == "false";
    if (!constant && (error != std::errc{} || stop != unsigned_part.data() + unsigned_part.size())) return false;
    item = bare;
    text.remove_prefix(end);
    return true;
}

}  // namespace

std::optional<std::vector<std::string>> parse_list_literal(std::string_view text) {
    text = trimmed(text);
    if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
    text.remove_prefix(1);
    std::vector<std::string> items;
    for (skip_blank(text); !text.starts_with(']'); skip_blank(text)) {
        std::string item;
        if (!read_item(text, item)) return std::nullopt;
        items.push_back(std::move(item));
        skip_blank(text);
        if (text.starts_with(',')) text.remove_prefix(1);
        else if (!text.starts_with(']')) return std::nullopt;
        if (text.empty()) return std::nullopt;
    }
    return text.size() == 1 ? std::optional(std::move(items)) : std::nullopt;
}

}  // namespace tg::evaluation
