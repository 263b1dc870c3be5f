// One picture as a stream of RGB rows: what each format's decoder gives, and what resizing and verifying take.
// Streaming keeps a row in cache from its IDCT to its resampling, and lets a centre crop tell the decoder which rows
// and columns nobody will look at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "taskgalaxy/pictures/image.hpp"

namespace tg::pictures {

using Bytes = std::span<const std::byte>;

class RowReader {
public:
    virtual ~RowReader() = default;
    int width() const { return width_; }  // of the rows delivered
    int height() const { return height_; }
    int file_width() const { return file_width_; }  // as the file says; differs where a JPEG is decoded at a fraction
    int file_height() const { return file_height_; }
    virtual int orientation() const { return 1; }  // EXIF, 1..8

    // A hint before the first row: only columns [begin, end) will be looked at. Others may hold anything.
    virtual void keep_columns(int /*begin*/, int /*end*/) {}
    // Writes the next row, width() x 3 bytes, columns at their place. Throws UnreadableImage.
    virtual void read_row(std::uint8_t* rgb) = 0;
    virtual void skip_rows(int count) = 0;
    // After the last row, when the whole file is to be believed: checks what follows it.
    virtual void finish() {}

protected:
    RowReader() = default;
    void set_size(int width, int height) { width_ = file_width_ = width, height_ = file_height_ = height; }
    void set_scaled_size(int width, int height) { width_ = width, height_ = height; }

private:
    int width_ = 0, height_ = 0, file_width_ = 0, file_height_ = 0;
};

// A picture that lies in memory whole: a decoded Image, or a format that cannot stream.
class ImageRows : public RowReader {
public:
    explicit ImageRows(const Image& image) : image_(&image) { set_size(image.width, image.height); }
    void read_row(std::uint8_t* rgb) override;
    void skip_rows(int count) override { next_ += count; }

private:
    const Image* image_;
    int next_ = 0;
};

// The same, owning it.
class OwnedRows final : public ImageRows {
public:
    explicit OwnedRows(std::unique_ptr<Image> image) : ImageRows(*image), owned_(std::move(image)) {}

private:
    std::unique_ptr<Image> owned_;
};

struct Format {
    std::string_view name;
    bool (*recognised)(Bytes bytes);
    std::unique_ptr<RowReader> (*open)(Bytes bytes, const DecodeOptions& options);  // null: known, not decoded
};

// Finds the format by content and reads its header. Throws UnreadableImage.
std::unique_ptr<RowReader> open_rows(Bytes bytes, const DecodeOptions& options, std::string_view* format = nullptr);

// Throws UnreadableImage (too_large) when the header promises more than `options` allow, or corrupt when a side is
// below 1.
void check_size(std::int64_t width, std::int64_t height, const DecodeOptions& options);

std::unique_ptr<RowReader> open_jpeg(Bytes bytes, const DecodeOptions& options);
std::unique_ptr<RowReader> open_png(Bytes bytes, const DecodeOptions& options);
std::unique_ptr<RowReader> open_webp(Bytes bytes, const DecodeOptions& options);
std::unique_ptr<RowReader> open_gif(Bytes bytes, const DecodeOptions& options);
std::unique_ptr<RowReader> open_bmp(Bytes bytes, const DecodeOptions& options);

}  // namespace tg::pictures
