// Telling formats apart, and the plain uses of a row stream: all rows into an image, or into nothing.
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <vector>

#include "exif.hpp"
#include "row_reader.hpp"

namespace tg::pictures {
namespace {

bool begins(Bytes bytes, std::string_view magic, std::size_t at = 0) {
    return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

// One row a format; those without `open` are named in the reason, so that a user sees what the pool is made of.
constexpr std::array formats{
    Format{"JPEG", [](Bytes b) { return begins(b, "\xff\xd8\xff"); }, open_jpeg},
    Format{"PNG", [](Bytes b) { return begins(b, "\x89PNG\r\n\x1a\n"); }, open_png},
    Format{"WebP", [](Bytes b) { return begins(b, "RIFF") && begins(b, "WEBP", 8); }, open_webp},
    Format{"GIF", [](Bytes b) { return begins(b, "GIF87a") || begins(b, "GIF89a"); }, open_gif},
    Format{"BMP", [](Bytes b) { return begins(b, "BM"); }, open_bmp},
    Format{"TIFF",
           [](Bytes b) {
               return begins(b, {"II*\0", 4}) || begins(b, {"MM\0*", 4});
           },
           nullptr},
    Format{"AVIF", [](Bytes b) { return begins(b, "ftypavif", 4) || begins(b, "ftypavis", 4); }, nullptr},
    Format{"HEIF", [](Bytes b) { return begins(b, "ftyphei", 4) || begins(b, "ftypmif1", 4); }, nullptr},
    Format{"JPEG 2000",
           [](Bytes b) {
               return begins(b, {"\0\0\0\x0cjP  ", 8}) || begins(b, "\xff\x4f\xff\x51");
           },
           nullptr},
    Format{"JPEG XL",
           [](Bytes b) {
               return begins(b, {"\0\0\0\x0cJXL ", 8}) || begins(b, "\xff\x0a");
           },
           nullptr},
    Format{"PSD", [](Bytes b) { return begins(b, "8BPS"); }, nullptr},
    Format{"ICO",
           [](Bytes b) {
               return begins(b, {"\0\0\1\0", 4});
           },
           nullptr},
    Format{"SVG", [](Bytes b) { return begins(b, "<svg"); }, nullptr},
};

// What files that are no pictures commonly are.
std::string_view guess(Bytes bytes) {
    if (begins(bytes, "<!DOCTYPE") || begins(bytes, "<!doctype") || begins(bytes, "<html") || begins(bytes, "<HTML"))
        return "an HTML page";
    if (begins(bytes, "<?xml")) return "XML";
    if (begins(bytes, "%PDF")) return "PDF";
    if (begins(bytes, "PK\3\4")) return "a zip archive";
    if (begins(bytes, "\x1f\x8b")) return "gzip data";
    if (begins(bytes, "version https://git-lfs")) return "a git-lfs pointer, not the file itself";
    return "no known format's first bytes";
}

}  // namespace

std::string_view name_of(PictureStatus status) {
    constexpr std::array<std::string_view, picture_statuses> names{
        "usable",      "missing",   "unreadable", "empty",     "not a picture",
        "unsupported", "truncated", "corrupt",    "too large", "duplicate"};
    return names.at(static_cast<std::size_t>(status));
}

void check_size(std::int64_t width, std::int64_t height, const DecodeOptions& options) {
    if (width < 1 || height < 1)
        throw UnreadableImage(PictureStatus::corrupt, fmt::format("size {} x {}", width, height));
    if (width > options.max_pixels / height)
        throw UnreadableImage(PictureStatus::too_large, fmt::format("{} x {} pixels, more than the {} allowed", width,
                                                                    height, options.max_pixels));
}

void ImageRows::read_row(std::uint8_t* rgb) {
    const auto row_bytes = static_cast<std::size_t>(image_->width) * 3;
    std::memcpy(rgb, image_->rgb.data() + static_cast<std::size_t>(next_++) * row_bytes, row_bytes);
}

std::unique_ptr<RowReader> open_rows(Bytes bytes, const DecodeOptions& options, std::string_view* name) {
    if (bytes.empty()) throw UnreadableImage(PictureStatus::empty, "empty file");
    for (const auto& format : formats) {
        if (!format.recognised(bytes)) continue;
        if (name) *name = format.name;
        if (!format.open)
            throw UnreadableImage(PictureStatus::unsupported, fmt::format("{} is not decoded", format.name));
        return format.open(bytes, options);
    }
    throw UnreadableImage(PictureStatus::not_a_picture, std::string(guess(bytes)));
}

Image decode(Bytes bytes, const DecodeOptions& options) {
    const auto rows = open_rows(bytes, options);
    Image image{rows->width(), rows->height(), {}};
    const auto row_bytes = static_cast<std::size_t>(image.width) * 3;
    image.rgb.resize(row_bytes * static_cast<std::size_t>(image.height));
    for (int y = 0; y < image.height; ++y) rows->read_row(image.rgb.data() + static_cast<std::size_t>(y) * row_bytes);
    rows->finish();
    return options.exif_rotate ? turned_upright(std::move(image), rows->orientation()) : image;
}

PictureInfo probe(Bytes bytes, const DecodeOptions& options) {
    PictureInfo info;
    const auto rows = open_rows(bytes, options, &info.format);
    info.width = rows->file_width();
    info.height = rows->file_height();
    if (options.exif_rotate && turns_sides(rows->orientation())) std::swap(info.width, info.height);
    return info;
}

PictureInfo verify(Bytes bytes, const DecodeOptions& options) {
    PictureInfo info;
    const auto rows = open_rows(bytes, options, &info.format);
    std::vector<std::uint8_t> row(static_cast<std::size_t>(rows->width()) * 3);
    for (int y = 0; y < rows->height(); ++y) rows->read_row(row.data());
    rows->finish();
    info.width = rows->file_width();
    info.height = rows->file_height();
    if (options.exif_rotate && turns_sides(rows->orientation())) std::swap(info.width, info.height);
    return info;
}

}  // namespace tg::pictures
