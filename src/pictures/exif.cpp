#include "exif.hpp"

#include <cstring>
#include <string_view>
#include <utility>

namespace tg::pictures {
namespace {

unsigned at(Bytes b, std::size_t i) { return std::to_integer<unsigned>(b[i]); }

// A TIFF block as EXIF holds it; reads outside of it give 0.
struct Tiff {
    Bytes bytes;
    bool big;
    unsigned u16(std::size_t i) const {
        if (i + 2 > bytes.size()) return 0;
        return big ? at(bytes, i) << 8 | at(bytes, i + 1) : at(bytes, i + 1) << 8 | at(bytes, i);
    }
    std::size_t u32(std::size_t i) const {
        return big ? std::size_t{u16(i)} << 16 | u16(i + 2) : std::size_t{u16(i + 2)} << 16 | u16(i);
    }
};

int tiff_orientation(Bytes block) {
    if (block.size() < 8) return 1;
    const Tiff tiff{block, std::to_integer<char>(block[0]) == 'M'};
    const auto directory = tiff.u32(4);
    const auto entries = tiff.u16(directory);
    for (std::size_t i = 0; i < entries; ++i) {
        const auto entry = directory + 2 + 12 * i;
        if (tiff.u16(entry) != 0x0112) continue;
        const auto value = tiff.u16(entry + 8);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

}  // namespace

int jpeg_orientation(Bytes jpeg) {
    constexpr std::string_view exif("Exif\0\0", 6);
    for (std::size_t i = 2; i + 4 <= jpeg.size() && at(jpeg, i) == 0xFF;) {
        const auto marker = at(jpeg, i + 1);
        if (marker == 0xFF) {  // fill byte
            ++i;
            continue;
        }
        if (marker == 0xDA || marker == 0xD9) break;
        const std::size_t length = at(jpeg, i + 2) << 8 | at(jpeg, i + 3);
        if (length < 2 || i + 2 + length > jpeg.size()) break;
        const auto body = jpeg.subspan(i + 4, length - 2);
        if (marker == 0xE1 && body.size() >= exif.size() && std::memcmp(body.data(), exif.data(), exif.size()) == 0)
            return tiff_orientation(body.subspan(exif.size()));
        i += 2 + length;
    }
    return 1;
}

Image turned_upright(Image image, int orientation) {
    if (orientation <= 1 || orientation > 8) return image;
    const int w = image.width, h = image.height;
    const bool swap = turns_sides(orientation);
    Image out{swap ? h : w, swap ? w : h, std::vector<std::uint8_t>(image.rgb.size())};
    // Where the pixel at (x, y) of the result comes from.
    const auto source = [&](int x, int y) -> std::pair<int, int> {
        switch (orientation) {
            case 2: return {w - 1 - x, y};
            case 3: return {w - 1 - x, h - 1 - y};
            case 4: return {x, h - 1 - y};
            case 5: return {y, x};
            case 6: return {y, h - 1 - x};
            case 7: return {w - 1 - y, h - 1 - x};
            default: return {w - 1 - y, x};
        }
    };
    auto* to = out.rgb.data();
    for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x, to += 3) {
            const auto [sx, sy] = source(x, y);
            std::memcpy(
                to,
                image.rgb.data() +
                    (static_cast<std::size_t>(sy) * static_cast<std::size_t>(w) + static_cast<std::size_t>(sx)) * 3,
                3);
        }
    return out;
}

}  // namespace tg::pictures
