#include "taskgalaxy/pictures/preprocess.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

#include "exif.hpp"
#include "resample.hpp"

namespace tg::pictures {
namespace {

std::uint16_t bf16_of(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

// The 256 values a sample can become, for each channel.
template <class T> std::array<std::array<T, 256>, 3> value_table(const ImageRecipe& recipe) {
    std::array<std::array<T, 256>, 3> table;
    for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t v = 0; v < 256; ++v) {
            const float value =
                (static_cast<float>(static_cast<double>(v) * recipe.rescale) - recipe.mean[c]) / recipe.std[c];
            if constexpr (std::is_same_v<T, float>) table[c][v] = value;
            else table[c][v] = bf16_of(value);
        }
    return table;
}

std::array<std::uint8_t, 3> pad_colour(const std::array<float, 3>& mean) {
    std::array<std::uint8_t, 3> colour;
    for (std::size_t c = 0; c < 3; ++c) colour[c] = static_cast<std::uint8_t>(static_cast<double>(mean[c]) * 255);
    return colour;
}

// A picture centred on a square canvas, as rows.
class SquareRows final : public RowReader {
public:
    SquareRows(RowReader& inner, const std::array<float, 3>& mean) : inner_(&inner), colour_(pad_colour(mean)) {
        // A strip a million pixels long is a small picture and a square that nobody can fill.
        const int side = std::max(inner.width(), inner.height());
        check_size(side, side, {});
        set_size(side, side);
        left_ = (side - inner.width()) / 2, top_ = (side - inner.height()) / 2;
    }
    void keep_columns(int begin, int end) override {
        inner_->keep_columns(std::clamp(begin - left_, 0, inner_->width() - 1),
                             std::clamp(end - left_, 1, inner_->width()));
    }
    void read_row(std::uint8_t* rgb) override {
        const bool inside = next_ >= top_ && next_ < top_ + inner_->height();
        if (inside) inner_->read_row(rgb + 3 * left_);
        fill(rgb, 0, inside ? left_ : width());
        if (inside) fill(rgb, left_ + inner_->width(), width());
        ++next_;
    }
    void skip_rows(int count) override {
        const auto skipped = [&](int y) { return std::clamp(y - top_, 0, inner_->height()); };
        inner_->skip_rows(skipped(next_ + count) - skipped(next_));
        next_ += count;
    }

private:
    void fill(std::uint8_t* rgb, int begin, int end) const {
        for (int x = begin; x < end; ++x) std::memcpy(rgb + 3 * x, colour_.data(), 3);
    }
    RowReader* inner_;
    std::array<std::uint8_t, 3> colour_;
    int left_ = 0, top_ = 0, next_ = 0;
};

// One axis of the geometry: the picture's side becomes `resized`, of which the S samples from `cut` on are kept. Where
// it is shorter than S the rest is zero (before normalising), `margin` samples of it in front.
struct Side {
    int resized, keep_begin, keep_end, margin;
};
Side side_of(int resized, int size) {
    if (resized >= size) {
        const int cut = (resized - size) / 2;
        return {resized, cut, cut + size, 0};
    }
    return {resized, 0, resized, (size - resized + 1) / 2};
}

template <class T>
void write_pixels(RowReader& rows, int full_width, int full_height, const ImageRecipe& recipe, std::span<T> chw) {
    if (chw.size() != recipe.values())
        throw std::invalid_argument(
            fmt::format("to_pixels: {} values for a result of {}", chw.size(), recipe.values()));
    const int size = recipe.size;
    int width = size, height = size;
    if (recipe.resize == ImageRecipe::Resize::shortest_edge) {
        const auto longer = [&](int long_side, int short_side) {
            const auto side = static_cast<std::int64_t>(
                static_cast<double>(std::int64_t{recipe.shortest_edge} * long_side) / short_side);
            if (side > INT32_MAX / 4)
                throw UnreadableImage(PictureStatus::unsupported,
                                      fmt::format("{} x {} pixels are too narrow to resize", full_width, full_height));
            return static_cast<int>(side);
        };
        width = full_width <= full_height ? recipe.shortest_edge : longer(full_width, full_height);
        height = full_width <= full_height ? longer(full_height, full_width) : recipe.shortest_edge;
    }
    const auto across = side_of(width, size), down = side_of(height, size);
    const auto x = Axis::make(rows.width(), width, recipe.filter, across.keep_begin, across.keep_end);
    const auto y = Axis::make(rows.height(), height, recipe.filter, down.keep_begin, down.keep_end);
    const auto table = value_table<T>(recipe);
    const auto stride = static_cast<std::size_t>(size), plane = stride * stride;
    if (x.out() < size || y.out() < size)
        for (std::size_t c = 0; c < 3; ++c)
            std::fill_n(chw.begin() + static_cast<std::ptrdiff_t>(c * plane), plane, table[c][0]);
    resample(rows, x, y, [&](int row, const std::uint8_t* rgb) {
        auto* out =
            chw.data() + static_cast<std::size_t>(down.margin + row) * stride + static_cast<std::size_t>(across.margin);
        for (std::size_t i = 0; i < static_cast<std::size_t>(x.out()); ++i, rgb += 3) {
            out[i] = table[0][rgb[0]];
            out[plane + i] = table[1][rgb[1]];
            out[2 * plane + i] = table[2][rgb[2]];
        }
    });
}

template <class T>
void rows_to_pixels(RowReader& rows, int full_width, int full_height, const ImageRecipe& recipe, std::span<T> chw) {
    if (!recipe.pad_square) return write_pixels(rows, full_width, full_height, recipe, chw);
    SquareRows square(rows, recipe.mean);
    const int side = std::max(full_width, full_height);
    write_pixels(square, side, side, recipe, chw);
}

template <class T> void image_to_pixels(const Image& image, const ImageRecipe& recipe, std::span<T> chw) {
    ImageRows rows(image);
    rows_to_pixels(rows, image.width, image.height, recipe, chw);
}

template <class T>
void bytes_to_pixels(Bytes bytes, DecodeOptions options, const ImageRecipe& recipe, std::span<T> chw) {
    if (recipe.decode_fast)
        options.shrink_to = recipe.resize == ImageRecipe::Resize::shortest_edge ? recipe.shortest_edge : recipe.size;
    const auto rows = open_rows(bytes, options);
    if (options.exif_rotate && rows->orientation() != 1) return image_to_pixels(decode(bytes, options), recipe, chw);
    rows_to_pixels(*rows, rows->file_width(), rows->file_height(), recipe, chw);
}

}  // namespace

void to_pixels(const Image& image, const ImageRecipe& recipe, std::span<float> chw) {
    image_to_pixels(image, recipe, chw);
}
void to_pixels(const Image& image, const ImageRecipe& recipe, std::span<std::uint16_t> chw_bf16) {
    image_to_pixels(image, recipe, chw_bf16);
}
void decode_to_pixels(Bytes bytes, const DecodeOptions& options, const ImageRecipe& recipe, std::span<float> chw) {
    bytes_to_pixels(bytes, options, recipe, chw);
}
void decode_to_pixels(Bytes bytes, const DecodeOptions& options, const ImageRecipe& recipe,
                      std::span<std::uint16_t> chw_bf16) {
    bytes_to_pixels(bytes, options, recipe, chw_bf16);
}

Image padded_to_square(const Image& image, const std::array<float, 3>& mean) {
    ImageRows rows(image);
    SquareRows square(rows, mean);
    Image out{square.width(), square.height(), {}};
    const auto row_bytes = static_cast<std::size_t>(out.width) * 3;
    out.rgb.resize(row_bytes * static_cast<std::size_t>(out.height));
    for (int y = 0; y < out.height; ++y) square.read_row(out.rgb.data() + static_cast<std::size_t>(y) * row_bytes);
    return out;
}

}  // namespace tg::pictures
