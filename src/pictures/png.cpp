// PNG through libpng, with the samples of Pillow's convert("RGB"): alpha and tRNS dropped, 16-bit colour cut to its
// high byte, 16-bit gray clipped at 255 (Pillow's mode I;16), palette entries that are not there black. Unlike Pillow,
// checksums are checked.
#include <csetjmp>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <vector>

#include <png.h>

#include "row_reader.hpp"

namespace tg::pictures {
namespace {

class PngRows final : public RowReader {
public:
    PngRows(Bytes bytes, const DecodeOptions& options) : rest_(bytes) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
        if (png_) info_ = png_create_info_struct(png_);
        if (!info_) {
            png_destroy_read_struct(&png_, nullptr, nullptr);
            throw std::bad_alloc();
        }
        try {
            open(options);
        } catch (...) {  // the destructor does not run
            png_destroy_read_struct(&png_, &info_, nullptr);
            throw;
        }
    }
    ~PngRows() override { png_destroy_read_struct(&png_, &info_, nullptr); }
    PngRows(const PngRows&) = delete;

    void read_row(std::uint8_t* rgb) override {
        if (!whole_.empty()) {
            unpack(whole_.data() + static_cast<std::size_t>(next_++) * row_bytes_, rgb);
        } else if (direct_) {
            guarded([&] { png_read_row(png_, rgb, nullptr); });
        } else {
            guarded([&] { png_read_row(png_, row_.data(), nullptr); });
            unpack(row_.data(), rgb);
        }
    }

    void skip_rows(int count) override {
        if (!whole_.empty()) {
            next_ += count;
            return;
        }
        for (int i = 0; i < count; ++i) guarded([&] { png_read_row(png_, row_.data(), nullptr); });
    }

private:
    static void on_error(png_structp png, png_const_charp message) {
        auto* self = static_cast<PngRows*>(png_get_error_ptr(png));
        std::strncpy(self->message_, message, sizeof self->message_ - 1);
        png_longjmp(png, 1);
    }

    static void on_read(png_structp png, png_bytep to, std::size_t count) {
        auto* self = static_cast<PngRows*>(png_get_io_ptr(png));
        if (count > self->rest_.size()) {
            self->hit_end_ = true;
            png_error(png, "PNG data end too soon");
        }
        std::memcpy(to, self->rest_.data(), count);
        self->rest_ = self->rest_.subspan(count);
    }

    // longjmp comes back here; `call` holds nothing but calls into libpng, so no destructor is passed over.
    template <class Call> void guarded(Call call) {
        if (setjmp(png_jmpbuf(png_)) == 0) return call();
        throw UnreadableImage(hit_end_ ? PictureStatus::truncated : PictureStatus::corrupt,
                              hit_end_ ? std::string(message_) : fmt::format("PNG: {}", message_));
    }

    void open(const DecodeOptions& options) {
        guarded([&] {
            png_set_read_fn(png_, this, on_read);
            png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
            png_set_benign_errors(png_, 1);
            // Nothing of the ancillary chunks is used: colour profiles and texts are not even unpacked (tRNS would
            // change nothing).
            png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
            png_read_info(png_, info_);
        });
        check_size(png_get_image_width(png_, info_), png_get_image_height(png_, info_), options);
        const int colour = png_get_color_type(png_, info_), depth = png_get_bit_depth(png_, info_);
        passes_ = 1;
        if (colour == PNG_COLOR_TYPE_PALETTE) {
            kind_ = Kind::palette;
        } else if (colour == PNG_COLOR_TYPE_GRAY && depth == 16) {
            kind_ = Kind::gray16;
        } else {
            kind_ = Kind::rgb;
        }
        png_colorp palette = nullptr;
        int entries = 0;
        guarded([&] {
            if (kind_ == Kind::palette) {
                png_set_packing(png_);
                png_get_PLTE(png_, info_, &palette, &entries);
            } else if (kind_ == Kind::rgb) {
                if (depth == 16) png_set_strip_16(png_);
                if (depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
                if ((colour & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png_);
                if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png_);
            }
            passes_ = png_set_interlace_handling(png_);
            png_read_update_info(png_, info_);
        });
        for (int i = 0; i < entries; ++i) std::memcpy(palette_ + 3 * i, &palette[i], 3);
        set_size(static_cast<int>(png_get_image_width(png_, info_)),
                 static_cast<int>(png_get_image_height(png_, info_)));
        row_bytes_ = png_get_rowbytes(png_, info_);
        direct_ = kind_ == Kind::rgb && passes_ == 1;
        row_.resize(row_bytes_);
        if (passes_ > 1) read_interlaced();
    }

    void read_interlaced() {
        whole_.resize(row_bytes_ * static_cast<std::size_t>(height()));
        for (int pass = 0; pass < passes_; ++pass)
            for (std::size_t y = 0; y < static_cast<std::size_t>(height()); ++y)
                guarded([&] { png_read_row(png_, whole_.data() + y * row_bytes_, nullptr); });
    }

    void unpack(const std::uint8_t* in, std::uint8_t* rgb) const {
        const auto count = static_cast<std::size_t>(width());
        switch (kind_) {
            case Kind::rgb: std::memcpy(rgb, in, count * 3); break;
            case Kind::palette:
                for (std::size_t x = 0; x < count; ++x) std::memcpy(rgb + 3 * x, palette_ + std::size_t{3} * in[x], 3);
                break;
            case Kind::gray16:
                for (std::size_t x = 0; x < count; ++x)
                    std::memset(rgb + 3 * x, in[2 * x] == 0 ? in[2 * x + 1] : 255, 3);
                break;
        }
    }

    enum class Kind { rgb, palette, gray16 };

    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    Bytes rest_;
    bool hit_end_ = false;
    char message_[200] = {};
    Kind kind_ = Kind::rgb;
    int passes_ = 1, next_ = 0;
    bool direct_ = false;  // rows come out as RGB
    std::size_t row_bytes_ = 0;
    std::vector<std::uint8_t> row_;    // one row as libpng gives it
    std::vector<std::uint8_t> whole_;  // all of them, of an interlaced file
    std::uint8_t palette_[256 * 3] = {};
};

}  // namespace

std::unique_ptr<RowReader> open_png(Bytes bytes, const DecodeOptions& options) {
    return std::make_unique<PngRows>(bytes, options);
}

}  // namespace tg::pictures
