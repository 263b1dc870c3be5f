// WebP through libwebp: a still picture, or the first frame of an animation on a black canvas (as Pillow's decoder
// composes it).
#include <cstring>
#include <fmt/format.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "row_reader.hpp"

namespace tg::pictures {
namespace {

[[noreturn]] void fail(VP8StatusCode code) {
    switch (code) {
        case VP8_STATUS_OUT_OF_MEMORY: throw std::bad_alloc();
        case VP8_STATUS_NOT_ENOUGH_DATA: throw UnreadableImage(PictureStatus::truncated, "WebP data end too soon");
        case VP8_STATUS_UNSUPPORTED_FEATURE:
            throw UnreadableImage(PictureStatus::unsupported, "WebP with an unsupported feature");
        default:
            throw UnreadableImage(PictureStatus::corrupt,
                                  fmt::format("WebP: decoder status {}", static_cast<int>(code)));
    }
}

// Decodes a still picture into `to`, rows `stride` bytes apart.
void decode_into(const std::uint8_t* data, std::size_t size, std::uint8_t* to, std::size_t room, std::size_t stride) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        throw UnreadableImage(PictureStatus::unsupported, "WebP library of another version");
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = {to, static_cast<int>(stride), room};
    const auto code = WebPDecode(data, size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) fail(code);
}

struct Demuxed {
    explicit Demuxed(Bytes bytes) {
        const WebPData data{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
        demuxer = WebPDemux(&data);
        if (!demuxer) throw UnreadableImage(PictureStatus::truncated, "WebP animation is not whole");
        has_frame = WebPDemuxGetFrame(demuxer, 1, &frame) != 0;
    }
    ~Demuxed() {
        if (has_frame) WebPDemuxReleaseIterator(&frame);
        WebPDemuxDelete(demuxer);
    }
    Demuxed(const Demuxed&) = delete;
    WebPDemuxer* demuxer = nullptr;
    WebPIterator frame{};
    bool has_frame = false;
};

// The picture is decoded when its first row is wanted, so that a probe costs only the header.
class WebpRows final : public RowReader {
public:
    WebpRows(Bytes bytes, const DecodeOptions& options) : bytes_(bytes) {
        WebPBitstreamFeatures features;
        if (const auto code = WebPGetFeatures(data(), bytes.size(), &features); code != VP8_STATUS_OK) fail(code);
        check_size(features.width, features.height, options);
        set_size(features.width, features.height);
        animated_ = features.has_animation != 0;
    }

    void read_row(std::uint8_t* rgb) override {
        load();
        std::memcpy(rgb, pixels_.data() + static_cast<std::size_t>(next_++) * row_bytes(), row_bytes());
    }
    void skip_rows(int count) override { next_ += count; }

private:
    const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(bytes_.data()); }
    std::size_t row_bytes() const { return static_cast<std::size_t>(width()) * 3; }

    void load() {
        if (!pixels_.empty()) return;
        pixels_.resize(row_bytes() * static_cast<std::size_t>(height()));
        if (!animated_) return decode_into(data(), bytes_.size(), pixels_.data(), pixels_.size(), row_bytes());
        const Demuxed parts(bytes_);
        if (!parts.has_frame) throw UnreadableImage(PictureStatus::corrupt, "WebP animation without a frame");
        const auto& frame = parts.frame;
        if (frame.x_offset < 0 || frame.y_offset < 0 || frame.x_offset + frame.width > width() ||
            frame.y_offset + frame.height > height())
            throw UnreadableImage(PictureStatus::corrupt, "WebP frame outside its canvas");
        const auto begin =
            static_cast<std::size_t>(frame.y_offset) * row_bytes() + static_cast<std::size_t>(frame.x_offset) * 3;
        decode_into(frame.fragment.bytes, frame.fragment.size, pixels_.data() + begin, pixels_.size() - begin,
                    row_bytes());
    }

    Bytes bytes_;
    bool animated_ = false;
    std::vector<std::uint8_t> pixels_;
    int next_ = 0;
};

}  // namespace

std::unique_ptr<RowReader> open_webp(Bytes bytes, const DecodeOptions& options) {
    return std::make_unique<WebpRows>(bytes, options);
}

}  // namespace tg::pictures
