// Windows and OS/2 bitmaps: 1, 4, 8 bit with palette (also RLE), 16, 24 and 32 bit with the bit fields that Pillow
// knows. Rows are read where they lie in the file; only run-length data are unpacked first.
#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <vector>

#include "row_reader.hpp"

namespace tg::pictures {
namespace {

[[noreturn]] void corrupt(const std::string& what) { throw UnreadableImage(PictureStatus::corrupt, "BMP: " + what); }
[[noreturn]] void unsupported(const std::string& what) {
    throw UnreadableImage(PictureStatus::unsupported, "BMP: " + what);
}
[[noreturn]] void truncated() { throw UnreadableImage(PictureStatus::truncated, "BMP data end too soon"); }

// Where a pixel's three samples lie: a byte each (24 and 32 bit), or bits of a 16-bit word.
struct Layout {
    unsigned red_mask, green_mask, blue_mask;
    std::array<std::uint8_t, 3> byte;  // of red, green, blue in the pixel
};
constexpr std::array<Layout, 5> layouts32{{
    {0xFF0000, 0xFF00, 0xFF, {2, 1, 0}},
    {0xFF000000, 0xFF0000, 0xFF00, {3, 2, 1}},
    {0xFF000000, 0xFF00, 0xFF, {3, 1, 0}},
    {0xFF, 0xFF00, 0xFF0000, {0, 1, 2}},
    {0, 0, 0, {2, 1, 0}},
}};

enum Compression : unsigned { raw = 0, rle8 = 1, rle4 = 2, bit_fields = 3 };

class BmpRows final : public RowReader {
public:
    BmpRows(Bytes bytes, const DecodeOptions& options) : bytes_(bytes) {
        constexpr std::size_t file_header = 14;
        data_begin_ = u32(10);
        const std::size_t header_size = u32(file_header);
        unsigned compression = raw;
        std::size_t colours = 0, colour_bytes = 4;
        std::int64_t width = 0, height = 0;
        if (header_size == 12) {
            width = u16(18), height = u16(20), bits_ = u16(24);
            colour_bytes = 3;
        } else if (header_size == 40 || header_size == 52 || header_size == 56 || header_size == 64 ||
                   header_size == 108 || header_size == 124) {
            if (bytes.size() < file_header + header_size) truncated();
            top_down_ = u8(25) == 0xFF;
            width = u32(18), height = top_down_ ? (std::int64_t{1} << 32) - static_cast<std::int64_t>(u32(22))
                                                : static_cast<std::int64_t>(u32(22));
            bits_ = u16(28), compression = u32(30), colours = u32(46);
        } else {
            unsupported(fmt::format("header of {} bytes", header_size));
        }
        check_size(width, height, options);
        set_size(static_cast<int>(width), static_cast<int>(height));
        if (bits_ != 1 && bits_ != 4 && bits_ != 8 && bits_ != 16 && bits_ != 24 && bits_ != 32)
            unsupported(fmt::format("{} bits a pixel", bits_));

        auto after_header = file_header + header_size;
        if (compression == bit_fields) {
            const auto masks =
                header_size >= 52 ? std::size_t{54} : after_header;  // inside the longer headers, else behind
            set_layout(u32(masks), u32(masks + 4), u32(masks + 8));
            if (header_size < 52) after_header += 12;
        } else if (compression != raw && compression != rle8 && compression != rle4) {
            unsupported(fmt::format("compression {}", compression));
        }
        if (colours == 0 && bits_ <= 8) colours = std::size_t{1} << bits_;
        if (bits_ <= 8) {
            if (colours > 65536) corrupt(fmt::format("palette of {} colours", colours));
            if (data_begin_ == file_header + header_size) data_begin_ += colour_bytes * colours;
            read_palette(after_header, colours, colour_bytes);
            after_header += colour_bytes * colours;
        }
        if (data_begin_ == 0) data_begin_ = after_header;

        if (compression == rle8 || compression == rle4) {
            if (bits_ > 8) unsupported(fmt::format("run lengths with {} bits a pixel", bits_));
            run_lengths_ = true;
            four_bits_ = compression == rle4;
            return;
        }
        stride_ = (static_cast<std::size_t>(width) * bits_ + 31) / 32 * 4;
        const auto used = (static_cast<std::size_t>(width) * bits_ + 7) / 8;
        if (data_begin_ > bytes.size() ||
            (static_cast<std::size_t>(height) - 1) * stride_ + used > bytes.size() - data_begin_)
            truncated();
    }

    void read_row(std::uint8_t* rgb) override {
        if (run_lengths_ && indices_.empty()) unpack_runs();
        const auto y = static_cast<std::size_t>(top_down_ ? next_ : height() - 1 - next_);
        ++next_;
        const auto count = static_cast<std::size_t>(width());
        if (run_lengths_) {
            for (std::size_t x = 0; x < count; ++x) put_colour(indices_[y * count + x], rgb + 3 * x);
            return;
        }
        const auto* row = reinterpret_cast<const std::uint8_t*>(bytes_.data()) + data_begin_ + y * stride_;
        switch (bits_) {
            case 1:
                for (std::size_t x = 0; x < count; ++x) put_colour(row[x / 8] >> (7 - x % 8) & 1, rgb + 3 * x);
                break;
            case 4:
                for (std::size_t x = 0; x < count; ++x)
                    put_colour(x % 2 == 0 ? row[x / 2] >> 4 : row[x / 2] & 15, rgb + 3 * x);
                break;
            case 8:
                for (std::size_t x = 0; x < count; ++x) put_colour(row[x], rgb + 3 * x);
                break;
            case 16:
                for (std::size_t x = 0; x < count; ++x) {
                    const unsigned pixel = row[2 * x] | static_cast<unsigned>(row[2 * x + 1]) << 8;
                    const unsigned red = six_green_bits_ ? pixel >> 11 : pixel >> 10 & 31,
                                   green = six_green_bits_ ? pixel >> 5 & 63 : pixel >> 5 & 31;
                    rgb[3 * x] = static_cast<std::uint8_t>(red * 255 / 31);
                    rgb[3 * x + 1] = static_cast<std::uint8_t>(green * 255 / (six_green_bits_ ? 63 : 31));
                    rgb[3 * x + 2] = static_cast<std::uint8_t>((pixel & 31) * 255 / 31);
                }
                break;
            default: {
                const std::size_t pixel_bytes = bits_ / 8;
                for (std::size_t x = 0; x < count; ++x)
                    for (std::size_t channel = 0; channel < 3; ++channel)
                        rgb[3 * x + channel] = row[pixel_bytes * x + sample_byte_[channel]];
            }
        }
    }
    void skip_rows(int count) override { next_ += count; }

private:
    unsigned u8(std::size_t at) const {
        if (at >= bytes_.size()) truncated();
        return std::to_integer<unsigned>(bytes_[at]);
    }
    unsigned u16(std::size_t at) const { return u8(at) | u8(at + 1) << 8; }
    unsigned u32(std::size_t at) const { return u16(at) | u16(at + 2) << 16; }

    void set_layout(unsigned red, unsigned green, unsigned blue) {
        const auto same = [&](unsigned r, unsigned g, unsigned b) { return red == r && green == g && blue == b; };
        if (bits_ == 32) {
            for (const auto& layout : layouts32)
                if (same(layout.red_mask, layout.green_mask, layout.blue_mask)) {
                    sample_byte_ = layout.byte;
                    return;
                }
        } else if (bits_ == 24 && same(0xFF0000, 0xFF00, 0xFF)) {
            return;
        } else if (bits_ == 16 && (same(0xF800, 0x7E0, 0x1F) || same(0x7C00, 0x3E0, 0x1F))) {
            six_green_bits_ = green == 0x7E0;
            return;
        }
        unsupported(fmt::format("bit fields {:x}, {:x}, {:x}", red, green, blue));
    }

    void read_palette(std::size_t at, std::size_t colours, std::size_t colour_bytes) {
        for (std::size_t i = 0; i < std::min<std::size_t>(colours, 256); ++i)
            for (std::size_t channel = 0; channel < 3; ++channel)
                palette_[3 * i + channel] = static_cast<std::uint8_t>(u8(at + colour_bytes * i + 2 - channel));
    }
    void put_colour(unsigned index, std::uint8_t* rgb) const {
        std::memcpy(rgb, palette_.data() + std::size_t{3} * index, 3);
    }

    // Pairs (count, value); a count of 0 escapes: end of line, end of bitmap, move, or so many single pixels, padded to
    // 16 bits.
    void unpack_runs() {
        const auto line = static_cast<std::size_t>(width()), all = line * static_cast<std::size_t>(height());
        indices_.reserve(all);
        auto at = data_begin_;
        std::size_t x = 0;
        const auto put = [&](unsigned index) { indices_.push_back(static_cast<std::uint8_t>(index)); };
        while (indices_.size() < all) {
            if (at + 2 > bytes_.size()) truncated();
            const auto count = u8(at), value = u8(at + 1);
            at += 2;
            if (count > 0) {
                const auto run = std::min<std::size_t>(count, line - std::min(x, line));
                for (std::size_t i = 0; i < run; ++i) put(!four_bits_ ? value : i % 2 == 0 ? value >> 4 : value & 15);
                x += run;
            } else if (value == 0) {
                while (indices_.size() % line != 0) put(0);
                x = 0;
            } else if (value == 1) {
                break;
            } else if (value == 2) {
                const auto moved = u8(at) + u8(at + 1) * line;
                at += 2;
                indices_.resize(std::min(all, indices_.size() + moved));
                x = indices_.size() % line;
            } else {
                const auto pixels = std::min<std::size_t>(value, all - indices_.size());
                for (std::size_t i = 0; i < pixels; ++i)
                    put(!four_bits_ ? u8(at + i) : i % 2 == 0 ? u8(at + i / 2) >> 4 : u8(at + i / 2) & 15);
                at += four_bits_ ? (pixels + 1) / 2 : pixels;
                x += value;
                at += at % 2;
            }
        }
        if (indices_.size() < all) truncated();
        indices_.resize(all);
    }

    Bytes bytes_;
    unsigned bits_ = 0;
    bool top_down_ = false, run_lengths_ = false, four_bits_ = false, six_green_bits_ = false;
    std::size_t data_begin_ = 0, stride_ = 0;
    std::array<std::uint8_t, 3> sample_byte_{2, 1, 0};
    std::array<std::uint8_t, 256 * 3> palette_{};
    std::vector<std::uint8_t> indices_;  // of run-length data, rows in file order
    int next_ = 0;
};

}  // namespace

std::unique_ptr<RowReader> open_bmp(Bytes bytes, const DecodeOptions& options) {
    return std::make_unique<BmpRows>(bytes, options);
}

}  // namespace tg::pictures
