#include "resample.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <numbers>

namespace tg::pictures {
namespace {

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) {
    x = std::fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

double hamming(double x) {
    x = std::fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= std::numbers::pi;
    return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
}

double bicubic(double x) {
    constexpr double a = -0.5;
    x = std::fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

double sinc(double x) {
    if (x == 0.0) return 1.0;
    x *= std::numbers::pi;
    return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
    Filter filter;
    double (*weight)(double);
    double support;
};
constexpr std::array kernels{Kernel{Filter::lanczos, lanczos, 3.0}, Kernel{Filter::bilinear, bilinear, 1.0},
                             Kernel{Filter::bicubic, bicubic, 2.0}, Kernel{Filter::box, box, 0.5},
                             Kernel{Filter::hamming, hamming, 1.0}};

const Kernel& kernel_of(Filter filter) {
    for (const auto& kernel : kernels)
        if (kernel.filter == filter) return kernel;
    throw InputError(fmt::format("resampling filter {} is not known", static_cast<int>(filter)),
                     "use 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)");
}

std::uint8_t clipped(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255)); }
constexpr std::int32_t half = 1 << (weight_bits - 1);

SplitPair split(std::int32_t a, std::int32_t b) {
    constexpr std::int32_t mask = (1 << split_bits) - 1;
    const auto words = [](std::int32_t first, std::int32_t second) {
        return static_cast<std::int32_t>((static_cast<std::uint32_t>(first) & 0xFFFFu) |
                                         static_cast<std::uint32_t>(second) << 16);
    };
    return {words(a >> split_bits, b >> split_bits), words(a & mask, b & mask)};
}

void horizontal(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out, int rows) {
    for (int row = 0; row < rows; ++row) {
        auto* to = out[row];
        for (int i = 0; i < axis.out(); ++i, to += 3) {
            const auto* from = in[row] + static_cast<std::size_t>(axis.first[static_cast<std::size_t>(i)]) * 3;
            const auto* weight =
                axis.weights.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(axis.stride);
            std::int32_t r = half, g = half, b = half;
            for (int t = 0; t < axis.count[static_cast<std::size_t>(i)]; ++t, from += 3) {
                r += from[0] * weight[t];
                g += from[1] * weight[t];
                b += from[2] * weight[t];
            }
            to[0] = clipped(r), to[1] = clipped(g), to[2] = clipped(b);
        }
    }
}

void vertical(const Axis& axis, int output, const std::uint8_t* const* rows, std::size_t bytes, std::uint8_t* out) {
    const auto* weights =
        axis.weights.data() + static_cast<std::size_t>(output) * static_cast<std::size_t>(axis.stride);
    const int count = axis.count[static_cast<std::size_t>(output)];
    for (std::size_t i = 0; i < bytes; ++i) {
        std::int32_t sum = half;
        for (int t = 0; t < count; ++t) sum += rows[t][i] * weights[t];
        out[i] = clipped(sum);
    }
}

}  // namespace

Axis Axis::make(int in, int out, Filter filter, int keep_begin, int keep_end) {
    if (in < 1 || out < 1)
        throw InputError(fmt::format("a picture side of {} pixels cannot be resized to {}", in, out));
    Axis axis;
    axis.in = in;
    axis.all_out = out;
    axis.identity = in == out;
    const auto kept = static_cast<std::size_t>(keep_end - keep_begin);
    axis.first.resize(kept);
    axis.count.resize(kept);
    if (axis.identity) {
        for (std::size_t i = 0; i < kept; ++i) axis.first[i] = keep_begin + static_cast<int>(i), axis.count[i] = 1;
        return axis;
    }
    const auto& kernel = kernel_of(filter);
    const double scale = static_cast<double>(in) / out, filter_scale = std::max(scale, 1.0),
                 support = kernel.support * filter_scale, per_scale = 1.0 / filter_scale;
    axis.stride = (static_cast<int>(std::ceil(support)) * 2 + 1 + 7) / 8 * 8;
    axis.weights.resize(kept * static_cast<std::size_t>(axis.stride));
    std::vector<double> exact(static_cast<std::size_t>(axis.stride));
    for (std::size_t i = 0; i < kept; ++i) {
        const double centre = (keep_begin + static_cast<int>(i) + 0.5) * scale;
        const int first = std::max(0, static_cast<int>(centre - support + 0.5));
        const int count = std::min(in, static_cast<int>(centre + support + 0.5)) - first;
        double sum = 0;
        for (int t = 0; t < count; ++t)
            sum += exact[static_cast<std::size_t>(t)] = kernel.weight((t + first - centre + 0.5) * per_scale);
        auto* weights = axis.weights.data() + i * static_cast<std::size_t>(axis.stride);
        for (int t = 0; t < count; ++t) {
            const double share =
                (sum != 0.0 ? exact[static_cast<std::size_t>(t)] / sum : exact[static_cast<std::size_t>(t)]) *
                (1 << weight_bits);
            weights[t] = static_cast<std::int32_t>(share < 0 ? share - 0.5 : share + 0.5);
        }
        axis.first[i] = first;
        axis.count[i] = count;
    }
    axis.pairs.reserve(axis.weights.size() / 2);
    for (std::size_t i = 0; i < axis.weights.size(); i += 2)
        axis.pairs.push_back(split(axis.weights[i], axis.weights[i + 1]));
    return axis;
}

const ResamplePasses& portable_passes() {
    static constexpr ResamplePasses passes{horizontal, vertical};
    return passes;
}

const ResamplePasses& best_passes() {
    static const ResamplePasses& passes = avx512_passes() ? *avx512_passes()
                                          : avx2_passes() ? *avx2_passes()
                                                          : portable_passes();
    return passes;
}

namespace {

// Pillow 13's choice, found by trying some thousand geometries; where a pass is an identity the order does not matter.
bool vertical_first(const Axis& x, const Axis& y) {
    return y.in > y.all_out && y.in - y.all_out > 2 * (x.in - x.all_out);
}

void horizontal_pass(const ResamplePasses& passes, const Axis& x, const std::uint8_t* const* in,
                     std::uint8_t* const* out, int rows) {
    if (!x.identity) return passes.horizontal(x, in, out, rows);
    for (int i = 0; i < rows; ++i)
        std::memcpy(out[i], in[i] + static_cast<std::size_t>(x.begin()) * 3, static_cast<std::size_t>(x.out()) * 3);
}

// The last few rows of a stream of them, by number.
class RowRing {
public:
    RowRing(int rows, std::size_t row_bytes)
        : rows_(static_cast<std::size_t>(rows)), stride_(row_bytes + row_padding), bytes_(rows_ * stride_) {}
    std::uint8_t* operator[](int number) { return bytes_.data() + static_cast<std::size_t>(number) % rows_ * stride_; }

private:
    std::size_t rows_, stride_;
    std::vector<std::uint8_t> bytes_;
};

}  // namespace

void resample(RowReader& rows, const Axis& x, const Axis& y,
              const std::function<void(int y, const std::uint8_t* row)>& put, const ResamplePasses& passes) {
    constexpr int together = 4;  // rows that a horizontal pass takes at once
    rows.keep_columns(x.begin(), x.end());
    rows.skip_rows(y.begin());
    const bool combine_first = vertical_first(x, y) && !x.identity;
    const int window = *std::max_element(y.count.begin(), y.count.end());
    const auto in_bytes = static_cast<std::size_t>(rows.width()) * 3, out_bytes = static_cast<std::size_t>(x.out()) * 3;

    RowRing input(together, in_bytes), ring(window + together, combine_first ? in_bytes : out_bytes);
    int next = y.begin();  // the first input row that is not in the ring
    const auto fill = [&] {
        if (combine_first) {
            rows.read_row(ring[next++]);
            return;
        }
        const int count = std::min(together, y.end() - next);
        std::array<const std::uint8_t*, together> from{};
        std::array<std::uint8_t*, together> to{};
        for (int i = 0; i < count; ++i) {
            rows.read_row(input[i]);
            from[static_cast<std::size_t>(i)] = input[i];
            to[static_cast<std::size_t>(i)] = ring[next + i];
        }
        horizontal_pass(passes, x, from.data(), to.data(), count);
        next += count;
    };

    RowRing combined(1, combine_first ? in_bytes : out_bytes), finished(1, out_bytes);
    std::vector<const std::uint8_t*> sources(static_cast<std::size_t>(window));
    for (int i = 0; i < y.out(); ++i) {
        const int first = y.first[static_cast<std::size_t>(i)], count = y.count[static_cast<std::size_t>(i)];
        while (next < first + count) fill();
        const std::uint8_t* row = ring[first];
        if (!y.identity) {
            const auto begin = combine_first ? static_cast<std::size_t>(x.begin()) * 3 : 0,
                       end = combine_first ? static_cast<std::size_t>(x.end()) * 3 : out_bytes;
            for (int t = 0; t < count; ++t) sources[static_cast<std::size_t>(t)] = ring[first + t] + begin;
            passes.vertical(y, i, sources.data(), end - begin, combined[0] + begin);
            row = combined[0];
        }
        if (combine_first) {
            auto* out = finished[0];
            horizontal_pass(passes, x, &row, &out, 1);
            row = out;
        }
        put(i, row);
    }
}

Image resized(const Image& image, int width, int height, Filter filter) {
    Image out{width, height, {}};
    const auto x = Axis::make(image.width, width, filter, 0, width),
               y = Axis::make(image.height, height, filter, 0, height);
    out.rgb.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    ImageRows rows(image);
    const auto row_bytes = static_cast<std::size_t>(width) * 3;
    resample(rows, x, y, [&](int row, const std::uint8_t* rgb) {
        std::memcpy(out.rgb.data() + static_cast<std::size_t>(row) * row_bytes, rgb, row_bytes);
    });
    return out;
}

Image cropped(const Image& image, int left, int top, int width, int height) {
    if (left < 0 || top < 0 || width < 1 || height < 1 || left > image.width - width || top > image.height - height)
        throw InputError(fmt::format("the box {} x {} at ({}, {}) is not inside a picture of {} x {}", width, height,
                                     left, top, image.width, image.height));
    Image out{width, height, {}};
    const auto row_bytes = static_cast<std::size_t>(width) * 3;
    out.rgb.reserve(row_bytes * static_cast<std::size_t>(height));
    for (int y = 0; y < height; ++y) {
        const auto* row =
            image.rgb.data() + (static_cast<std::size_t>(top + y) * static_cast<std::size_t>(image.width) +
                                static_cast<std::size_t>(left)) *
                                   3;
        out.rgb.insert(out.rgb.end(), row, row + row_bytes);
    }
    return out;
}

}  // namespace tg::pictures
