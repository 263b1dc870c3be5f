// Pictures in memory: decoding, resizing and encoding. decode() gives the bytes that Pillow's
// Image.open(f).convert("RGB") gives, and resized() those of Pillow's resize(); checked against Pillow 13 in
// tests/unit/pool. Everything here is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/error.hpp"

namespace tg::pictures {

// What became of a picture; the column `status` of pool.h5. Numbers are stored: append, never reorder.
enum class PictureStatus : std::uint8_t {
    usable = 0,
    missing = 1,        // listed by a manifest, not there
    unreadable = 2,     // no regular file, no permission, I/O error
    empty = 3,          // zero bytes
    not_a_picture = 4,  // no known format's first bytes
    unsupported = 5,    // a known format, or a feature of it, that is not decoded
    truncated = 6,      // ends before its last pixel
    corrupt = 7,        // contradicts its format
    too_large = 8,      // more bytes or pixels than allowed (a decompression bomb)
    duplicate = 9,      // same bytes as an earlier picture, and drop_duplicates is set
};
inline constexpr int picture_statuses = 10;
std::string_view name_of(PictureStatus status);

// A picture that cannot be used; `what()` is the reason, without the picture's name.
class UnreadableImage : public InputError {
public:
    UnreadableImage(PictureStatus status, const std::string& reason) : InputError(reason), status_(status) {}
    PictureStatus status() const { return status_; }

private:
    PictureStatus status_;
};

struct Image {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;  // height x width x 3, row-major
};

inline constexpr std::int64_t default_max_pixels = 178'956'970;  // where Pillow, too, refuses

struct DecodeOptions {
    std::int64_t max_pixels = default_max_pixels;  // checked against the header, before memory is taken
    bool exif_rotate = false;  // turn JPEGs as their EXIF orientation says (ImageOps.exif_transpose)
    int shrink_to = 0;         // not 0: JPEGs may come at 1/2, 1/4 or 1/8, with neither side below this many pixels
};
using DecodeLimits = DecodeOptions;

// JPEG, PNG, WebP, GIF (first frame) and BMP, told apart by content. Throws UnreadableImage.
Image decode(std::span<const std::byte> bytes, const DecodeOptions& options = {});

struct PictureInfo {
    std::string_view format;  // "JPEG"
    int width = 0, height = 0;
};
// From the header alone. Throws UnreadableImage.
PictureInfo probe(std::span<const std::byte> bytes, const DecodeOptions& options = {});
// Decodes every row and keeps none (progressive and interlaced files still need their own memory). Throws
// UnreadableImage.
PictureInfo verify(std::span<const std::byte> bytes, const DecodeOptions& options = {});

// Pillow's antialiased filters (Resampling.BOX ... LANCZOS), numbers as in preprocessor_config.json.
enum class Filter : int { lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

// Image.resize((width, height), filter), the same integers. Throws InputError on sizes below 1.
Image resized(const Image& image, int width, int height, Filter filter = Filter::bicubic);
// The box [left, left + width) x [top, top + height), which must lie inside.
Image cropped(const Image& image, int left, int top, int width, int height);

// Baseline JPEG, 4:2:0 (4:4:4 from quality 90 up). Throws InputError on an empty picture.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace tg::pictures
