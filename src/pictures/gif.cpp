// The first frame of a GIF through giflib, on a canvas of the transparent colour (or colour 0), as Pillow shows frame
// 0.
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include <gif_lib.h>

#include "row_reader.hpp"

namespace tg::pictures {
namespace {

int on_read(GifFileType* gif, GifByteType* to, int count) {
    auto& rest = *static_cast<Bytes*>(gif->UserData);
    const auto taken = std::min(rest.size(), static_cast<std::size_t>(count));
    if (taken > 0) std::memcpy(to, rest.data(), taken);
    rest = rest.subspan(taken);
    return static_cast<int>(taken);
}

class GifFile {
public:
    explicit GifFile(Bytes bytes) : rest_(bytes) {
        int code = 0;
        gif_ = DGifOpen(&rest_, on_read, &code);
        if (!gif_) fail(code);
    }
    ~GifFile() {
        int code = 0;
        DGifCloseFile(gif_, &code);
    }
    GifFile(const GifFile&) = delete;
    GifFileType* operator->() const { return gif_; }

    void check(int result) const {
        if (result != GIF_OK) fail(gif_->Error);
    }
    // Reads up to the first image descriptor; returns the transparent colour, if one was named on the way.
    std::optional<int> seek_first_frame() {
        std::optional<int> transparent;
        for (;;) {
            GifRecordType type;
            check(DGifGetRecordType(gif_, &type));
            if (type == IMAGE_DESC_RECORD_TYPE) break;
            if (type != EXTENSION_RECORD_TYPE) throw UnreadableImage(PictureStatus::corrupt, "GIF without a picture");
            int code = 0;
            GifByteType* block = nullptr;
            check(DGifGetExtension(gif_, &code, &block));
            if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1) != 0) transparent = block[4];
            while (block) check(DGifGetExtensionNext(gif_, &block));
        }
        check(DGifGetImageDesc(gif_));
        return transparent;
    }
    void read_line(GifByteType* to, int count) const { check(DGifGetLine(gif_, to, count)); }

private:
    [[noreturn]] void fail(int code) const {
        const char* text = GifErrorString(code);
        const bool short_file = code == D_GIF_ERR_READ_FAILED || code == D_GIF_ERR_EOF_TOO_SOON;
        throw UnreadableImage(
            short_file ? PictureStatus::truncated : PictureStatus::corrupt,
            short_file ? "GIF data end too soon" : fmt::format("GIF: {}", text ? text : "not decodable"));
    }
    Bytes rest_;
    GifFileType* gif_ = nullptr;
};

class GifRows final : public RowReader {
public:
    GifRows(Bytes bytes, const DecodeOptions& options) : gif_(bytes) {
        transparent_ = gif_.seek_first_frame();
        const auto& frame = gif_->Image;
        if (frame.Width < 1 || frame.Height < 1)
            throw UnreadableImage(PictureStatus::corrupt,
                                  fmt::format("GIF frame of {} x {}", frame.Width, frame.Height));
        const auto width = std::max<std::int64_t>(gif_->SWidth, std::int64_t{frame.Left} + frame.Width);
        const auto height = std::max<std::int64_t>(gif_->SHeight, std::int64_t{frame.Top} + frame.Height);
        check_size(width, height, options);
        set_size(static_cast<int>(width), static_cast<int>(height));
        set_palette(frame.ColorMap ? frame.ColorMap : gif_->SColorMap);
    }

    void read_row(std::uint8_t* rgb) override {
        load();
        const auto* row = canvas_.data() + static_cast<std::size_t>(next_++) * static_cast<std::size_t>(width());
        for (int x = 0; x < width(); ++x) std::memcpy(rgb + 3 * x, palette_ + 3 * row[x], 3);
    }
    void skip_rows(int count) override { next_ += count; }

private:
    // A palette that is only a gray ramp is a grayscale picture to Pillow, whose ramp goes on past the palette's end.
    void set_palette(const ColorMapObject* map) {
        const int entries = map ? std::min(map->ColorCount, 256) : 0;
        bool ramp = true;
        for (int i = 0; i < entries; ++i) {
            const auto& c = map->Colors[i];
            ramp = ramp && c.Red == i && c.Green == i && c.Blue == i;
        }
        for (int i = 0; i < 256; ++i) {
            const GifColorType gray{static_cast<GifByteType>(i), static_cast<GifByteType>(i),
                                    static_cast<GifByteType>(i)};
            const GifColorType c = ramp ? gray : i < entries ? map->Colors[i] : GifColorType{};
            palette_[3 * i] = c.Red, palette_[3 * i + 1] = c.Green, palette_[3 * i + 2] = c.Blue;
        }
    }

    void load() {
        if (!canvas_.empty()) return;
        const auto& frame = gif_->Image;
        const auto stride = static_cast<std::size_t>(width());
        canvas_.assign(stride * static_cast<std::size_t>(height()),
                       static_cast<std::uint8_t>(transparent_.value_or(0)));
        const auto line = [&](int y) {
            gif_.read_line(canvas_.data() + static_cast<std::size_t>(frame.Top + y) * stride +
                               static_cast<std::size_t>(frame.Left),
                           frame.Width);
        };
        if (!frame.Interlace) {
            for (int y = 0; y < frame.Height; ++y) line(y);
            return;
        }
        constexpr int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
        for (int pass = 0; pass < 4; ++pass)
            for (int y = first[pass]; y < frame.Height; y += step[pass]) line(y);
    }

    GifFile gif_;
    std::optional<int> transparent_;
    std::uint8_t palette_[256 * 3];
    std::vector<std::uint8_t> canvas_;  // colour indices
    int next_ = 0;
};

}  // namespace

std::unique_ptr<RowReader> open_gif(Bytes bytes, const DecodeOptions& options) {
    return std::make_unique<GifRows>(bytes, options);
}

}  // namespace tg::pictures
