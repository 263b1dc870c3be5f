// Pillow's resize (libImaging/Resample.c) to the last bit, streamed: rows are resampled horizontally as they come from
// the decoder, kept in a small ring, and combined vertically into output rows. Weights are 22-bit fixed point, sums are
// rounded and clipped to uint8 after each pass. Like Pillow 13 (and unlike 12), pictures that lose far more height than
// width are combined vertically first.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "row_reader.hpp"

namespace tg::pictures {

inline constexpr int weight_bits = 22;
// Pixels may be read, never used, past a row's end: vectors load up to 32 bytes at a time.
inline constexpr std::size_t row_padding = 64;

// Two adjacent weights, each split as high * 2^split_bits + low, as the pairs of 16-bit words that vector units
// multiply and add.
struct SplitPair {
    std::int32_t high, low;
};
inline constexpr int split_bits = 12;

// One axis: output sample i is the sum over t < count[i] of weight[i * stride + t] times input sample first[i] + t.
struct Axis {
    int in = 0, all_out = 0;  // samples of the input, and of the whole output
    int stride = 0;           // weights an output sample; a multiple of 8, zeros at the end
    std::vector<int> first, count;
    std::vector<std::int32_t> weights;
    std::vector<SplitPair> pairs;  // the same weights, two by two
    bool identity = false;         // nothing to compute: output i is input first[i]

    int out() const { return static_cast<int>(first.size()); }
    int begin() const { return first.front(); }  // input samples that are looked at: [begin, end)
    int end() const { return first.back() + count.back(); }

    // Samples [keep_begin, keep_end) of resizing `in` samples to `out`.
    static Axis make(int in, int out, Filter filter, int keep_begin, int keep_end);
};

// The two inner loops, for the processor at hand. `rows` 1..4 input rows at once; out rows are packed RGB with
// row_padding behind.
struct ResamplePasses {
    void (*horizontal)(const Axis& axis, const std::uint8_t* const* in, std::uint8_t* const* out, int rows);
    // Output row `i` of `axis` from its count[i] input rows, `bytes` long.
    void (*vertical)(const Axis& axis, int i, const std::uint8_t* const* rows, std::size_t bytes, std::uint8_t* out);
};
const ResamplePasses& portable_passes();
const ResamplePasses* avx2_passes();    // null where the processor has none
const ResamplePasses* avx512_passes();  // with VBMI and VNNI; the same
const ResamplePasses& best_passes();

// Reads what it needs of `rows` and hands over each output row, x.out() pixels of packed RGB, top to bottom.
void resample(RowReader& rows, const Axis& x, const Axis& y,
              const std::function<void(int y, const std::uint8_t* row)>& put,
              const ResamplePasses& passes = best_passes());

}  // namespace tg::pictures
