// Base64 (RFC 4648), as data URLs and benchmark cells hold pictures.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tg {

std::string to_base64(std::span<const std::byte> bytes);

// Forgives what files in the wild hold: the alphabet of URLs, line ends and blanks, padding that is missing. `wrong`:
// the first character that belongs to no alphabet, or 0 where the text was fine.
struct Base64Reading {
    std::vector<std::byte> bytes;
    char wrong = 0;
};
Base64Reading from_base64(std::string_view text);

}  // namespace tg
