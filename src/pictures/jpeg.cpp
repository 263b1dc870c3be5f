// JPEG through libjpeg-turbo with Pillow's choices: accurate integer IDCT, fancy upsampling, Adobe's inverted CMYK. A
// file that ends early is an error, as in Pillow; damage inside (a bad code, a marker too soon) is decoded over, as in
// Pillow.
#include <csetjmp>
#include <cstdio>
#include <fmt/format.h>
#include <vector>

#include <jpeglib.h>
#include <jerror.h>

#include "exif.hpp"
#include "row_reader.hpp"

namespace tg::pictures {
namespace {

// A progressive file may repeat scans without end; each costs a pass over the whole picture.
constexpr int most_scans = 500;

// What libjpeg's callbacks need, found again from the pointers that it hands them (each is its struct's first member).
struct ErrorManager {
    jpeg_error_mgr base;
    std::jmp_buf jump;
    bool ran_dry = false;  // the entropy decoder wanted bits after the end of the file
    bool too_many_scans = false;
};
struct SourceManager {
    jpeg_source_mgr base;
    bool hit_end = false;
};

[[noreturn]] void on_error(j_common_ptr c) { std::longjmp(reinterpret_cast<ErrorManager*>(c->err)->jump, 1); }

void on_message(j_common_ptr c, int level) {
    if (level >= 0) return;  // traces
    ++c->err->num_warnings;
    auto* decompress = reinterpret_cast<j_decompress_ptr>(c);
    if (c->err->msg_code == JWRN_HIT_MARKER && reinterpret_cast<SourceManager*>(decompress->src)->hit_end)
        reinterpret_cast<ErrorManager*>(c->err)->ran_dry = true;
}

void on_progress(j_common_ptr c) {
    if (reinterpret_cast<j_decompress_ptr>(c)->input_scan_number <= most_scans) return;
    reinterpret_cast<ErrorManager*>(c->err)->too_many_scans = true;
    on_error(c);
}

void nothing(j_decompress_ptr) {}

boolean on_empty(j_decompress_ptr c) {
    static constexpr JOCTET end_of_image[] = {0xFF, JPEG_EOI};
    auto* source = reinterpret_cast<SourceManager*>(c->src);
    source->hit_end = true;
    source->base.next_input_byte = end_of_image;
    source->base.bytes_in_buffer = sizeof end_of_image;
    return TRUE;
}

void on_skip(j_decompress_ptr c, long count) {
    if (count <= 0) return;
    if (static_cast<std::size_t>(count) > c->src->bytes_in_buffer) {
        on_empty(c);
        return;
    }
    c->src->next_input_byte += count;
    c->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

class JpegRows final : public RowReader {
public:
    JpegRows(Bytes bytes, const DecodeOptions& options) {
        if (options.exif_rotate) orientation_ = jpeg_orientation(bytes);
        c_.err = jpeg_std_error(&error_.base);
        error_.base.error_exit = on_error;
        error_.base.emit_message = on_message;
        guarded([&] { jpeg_create_decompress(&c_); });
        source_.base = {reinterpret_cast<const JOCTET*>(bytes.data()),
                        bytes.size(),
                        nothing,
                        on_empty,
                        on_skip,
                        jpeg_resync_to_restart,
                        nothing};
        c_.src = &source_.base;
        progress_.progress_monitor = on_progress;
        c_.progress = &progress_;
        try {
            open(options);
        } catch (...) {  // the destructor does not run
            jpeg_destroy_decompress(&c_);
            throw;
        }
    }
    ~JpegRows() override { jpeg_destroy_decompress(&c_); }
    JpegRows(const JpegRows&) = delete;

    int orientation() const override { return orientation_; }

    // libjpeg cuts at whole iMCUs, and its smooth upsampling looks at a neighbour that the cut may have taken away: one
    // iMCU of margin on each side makes the kept columns equal to an uncut decode.
    void keep_columns(int begin, int end) override {
        start();
        const int margin = c_.max_h_samp_factor * c_.min_DCT_scaled_size;
        begin = std::max(0, begin - margin);
        end = std::min(width(), end + margin);
        if (begin == 0 && end == width()) return;
        JDIMENSION offset = static_cast<JDIMENSION>(begin), count = static_cast<JDIMENSION>(end - begin);
        guarded([&] { jpeg_crop_scanline(&c_, &offset, &count); });
        first_column_ = offset;
    }

    void read_row(std::uint8_t* rgb) override {
        start();
        JSAMPROW row = cmyk_.empty() ? rgb + std::size_t{first_column_} * 3 : cmyk_.data();
        guarded([&] { jpeg_read_scanlines(&c_, &row, 1); });
        if (!cmyk_.empty()) rgb_from_cmyk(rgb + std::size_t{first_column_} * 3);
        check_whole();
    }

    void skip_rows(int count) override {
        start();
        if (count > 0) guarded([&] { jpeg_skip_scanlines(&c_, static_cast<JDIMENSION>(count)); });
    }

private:
    void open(const DecodeOptions& options) {
        guarded([&] { jpeg_read_header(&c_, TRUE); });
        check_size(c_.image_width, c_.image_height, options);
        if (c_.num_components != 1 && c_.num_components != 3 && c_.num_components != 4)
            throw UnreadableImage(PictureStatus::unsupported,
                                  fmt::format("JPEG with {} components", c_.num_components));
        c_.out_color_space = c_.num_components == 4 ? JCS_CMYK : JCS_RGB;
        c_.dct_method = JDCT_ISLOW;
        set_size(static_cast<int>(c_.image_width), static_cast<int>(c_.image_height));
        if (options.shrink_to > 0) {
            c_.scale_num = 1;
            for (c_.scale_denom = 8; c_.scale_denom > 1; c_.scale_denom /= 2)
                if (std::min(c_.image_width, c_.image_height) / c_.scale_denom >=
                    static_cast<JDIMENSION>(options.shrink_to))
                    break;
            guarded([&] { jpeg_calc_output_dimensions(&c_); });
            set_scaled_size(static_cast<int>(c_.output_width), static_cast<int>(c_.output_height));
        }
    }

    // Put off until the first row is wanted: for a progressive file this reads all of it.
    void start() {
        if (started_) return;
        started_ = true;
        guarded([&] { jpeg_start_decompress(&c_); });
        // Several scans are collected before any row comes out; one that is not there would leave the picture blurred.
        if (source_.hit_end && jpeg_has_multiple_scans(&c_))
            throw UnreadableImage(PictureStatus::truncated, "JPEG data end before the last scan");
        if (c_.num_components == 4) cmyk_.resize(std::size_t{c_.output_width} * 4);
    }

    // longjmp comes back here; `call` holds nothing but calls into libjpeg, so no destructor is passed over.
    template <class Call> void guarded(Call call) {
        if (setjmp(error_.jump) == 0) return call();
        fail();
    }

    [[noreturn]] void fail() {
        if (error_.too_many_scans)
            throw UnreadableImage(PictureStatus::corrupt, fmt::format("JPEG with more than {} scans", most_scans));
        char text[JMSG_LENGTH_MAX];
        error_.base.format_message(reinterpret_cast<j_common_ptr>(&c_), text);
        if (source_.hit_end)
            throw UnreadableImage(PictureStatus::truncated, fmt::format("JPEG data end too soon ({})", text));
        switch (error_.base.msg_code) {
            case JERR_IMAGE_TOO_BIG: throw UnreadableImage(PictureStatus::too_large, fmt::format("JPEG: {}", text));
            case JERR_ARITH_NOTIMPL:
            case JERR_BAD_PRECISION:
            case JERR_SOF_UNSUPPORTED:
            case JERR_CONVERSION_NOTIMPL:
                throw UnreadableImage(PictureStatus::unsupported, fmt::format("JPEG: {}", text));
            default: throw UnreadableImage(PictureStatus::corrupt, fmt::format("JPEG: {}", text));
        }
    }

    void check_whole() {
        if (error_.ran_dry)
            throw UnreadableImage(PictureStatus::truncated,
                                  fmt::format("JPEG data end at row {} of {}", c_.output_scanline, c_.output_height));
    }

    // Adobe stores CMYK inverted; Pillow takes all four-component files to be Adobe's. Its rounding is that of
    // MULDIV255.
    void rgb_from_cmyk(std::uint8_t* rgb) const {
        for (std::size_t x = 0; x < c_.output_width; ++x) {
            const auto* in = cmyk_.data() + x * 4;
            const int light = in[3];
            for (int channel = 0; channel < 3; ++channel) {
                const int product = (255 - in[channel]) * light + 128;
                *rgb++ = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
            }
        }
    }

    jpeg_decompress_struct c_{};
    ErrorManager error_{};
    SourceManager source_{};
    jpeg_progress_mgr progress_{};
    JDIMENSION first_column_ = 0;
    std::vector<std::uint8_t> cmyk_;  // one row
    int orientation_ = 1;
    bool started_ = false;
};

}  // namespace

std::unique_ptr<RowReader> open_jpeg(Bytes bytes, const DecodeOptions& options) {
    return std::make_unique<JpegRows>(bytes, options);
}

}  // namespace tg::pictures
