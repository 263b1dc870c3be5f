#include "taskgalaxy/core/base64.hpp"

#include <array>
#include <cstdint>

namespace tg {
namespace {

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t none = 255;
constexpr auto values = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(none);
    for (std::size_t i = 0; i < letters.size(); ++i)
        table[static_cast<unsigned char>(letters[i])] = static_cast<std::uint8_t>(i);
    table['-'] = 62;  // the alphabet of URLs
    table['_'] = 63;
    return table;
}();

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (i + j < bytes.size() ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0);
        for (std::size_t j = 0; j < 4; ++j) out += i + j <= bytes.size() ? letters[group >> (18 - 6 * j) & 63] : '=';
    }
    return out;
}

Base64Reading from_base64(std::string_view text) {
    Base64Reading out;
    out.bytes.reserve(text.size() / 4 * 3 + 3);
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        if (c == '=' || c == '\n' || c == '\r' || c == ' ') continue;
        const auto value = values[static_cast<unsigned char>(c)];
        if (value == none) return {{}, c};
        bits = bits << 6 | value;
        if ((count += 6) >= 8) out.bytes.push_back(static_cast<std::byte>(bits >> (count -= 8) & 0xFF));
    }
    return out;
}

}  // namespace tg
