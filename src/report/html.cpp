#include "html.hpp"

#include <cmath>
#include <fmt/format.h>

namespace tg::report {
namespace {

// Length of the well-formed UTF-8 sequence at `at`, or 0.
std::size_t sequence_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto lead = byte(at);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || at + length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(at + i) & 0xC0) != 0x80) return 0;
    if (length == 3 && ((lead == 0xE0 && byte(at + 1) < 0xA0) || (lead == 0xED && byte(at + 1) > 0x9F)))
        return 0;  // overlong, surrogates
    if (length == 4 && ((lead == 0xF0 && byte(at + 1) < 0x90) || (lead == 0xF4 && byte(at + 1) > 0x8F))) return 0;
    return length;
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const auto length = sequence_length(text, at);
        const char c = text[at];
        if (length == 0) out += "\uFFFD";
        else if (length > 1) out += text.substr(at, length);
        else if (c == '&') out += "&amp;";
        else if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '"') out += "&quot;";
        else if (c == '\'') out += "&#39;";
        else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') out += "\uFFFD";
        else out += c;
        at += std::max<std::size_t>(length, 1);
    }
    return out;
}

std::string whole(std::uint64_t number) {
    auto digits = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), ",");
    return digits;
}

std::string percent(double share, int decimals) {
    return std::isfinite(share) ? fmt::format("{:.{}f} %", 100 * share, decimals) : "–";
}
std::string decimal(double number, int decimals) {
    return std::isfinite(number) ? fmt::format("{:.{}f}", number, decimals) : "–";
}
std::string dollars(double usd) {
    return usd < 1000 ? fmt::format("${:.2f}", usd) : "$" + whole(static_cast<std::uint64_t>(std::llround(usd)));
}

std::string figure(std::string_view heading, std::string_view body, std::string_view caption, std::string_view source) {
    return fmt::format(
        "<figure>\n<h3>{}</h3>\n{}\n<figcaption>{} <span class=\"source\">{}</span></figcaption>\n</figure>\n", heading,
        body, caption, source);
}

std::string not_run(std::string_view what, std::string_view file) {
    return fmt::format("<p class=\"not-run\"><b>Not run.</b> {} <span class=\"source\">{}</span></p>\n", what, file);
}

std::string table(const std::vector<std::string>& headings, const std::vector<std::vector<std::string>>& rows) {
    std::string out = "<div class=\"scroll\"><table><thead><tr>";
    std::vector<bool> numbers;
    for (const auto& heading : headings) {
        numbers.push_back(heading.ends_with('#'));
        out += fmt::format("<th{}>{}</th>", numbers.back() ? " class=\"n\"" : "",
                           numbers.back() ? heading.substr(0, heading.size() - 1) : heading);
    }
    out += "</tr></thead><tbody>\n";
    for (const auto& row : rows) {
        out += "<tr>";
        for (std::size_t c = 0; c < row.size(); ++c)
            out += fmt::format("<td{}>{}</td>", c < numbers.size() && numbers[c] ? " class=\"n\"" : "", row[c]);
        out += "</tr>\n";
    }
    return out + "</tbody></table></div>";
}

}  // namespace tg::report
