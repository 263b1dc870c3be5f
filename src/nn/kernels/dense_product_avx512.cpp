#include "taskgalaxy/nn/kernels/dense_product.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "avx512.hpp"
#include "register_tile.hpp"
#include "taskgalaxy/nn/kernels/rows.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"

namespace tg::kernels {
namespace {

constexpr std::int64_t tile_rows = 14, tile_columns = 32;  // 28 of the 32 registers hold sums
constexpr std::int64_t most_steps =
    1536;  // more are summed in parts: a panel of b (192 KiB) stays in the second-level cache
constexpr std::int64_t rows_block_bytes = 512 << 10;  // and so do that many bytes of a
// Of unpacked matrices: packing both sides costs a few percent of a task of this size.
constexpr std::int64_t task_rows = 1024, task_columns = 16 * tile_columns;

std::int64_t bytes_of(Number number) { return number == Number::f32 ? 4 : 2; }

// Panels: `width` items (rows of a, columns of b) side by side, [steps][width] times 32 bits. Items behind the last are
// zeros.
struct Items {
    const char* data;  // of the first item at the first k
    Number number;
    std::int64_t count, k;               // items that are there (at most 16), numbers of each
    std::int64_t item_stride, k_stride;  // in numbers
};

// Up to 16 items whose numbers lie behind each other -> [steps][width]. Stores whole vectors: what falls behind item
// `width` is overwritten by the next step or panel, which is packed later.
TG_AVX512 void pack_across(const Items& items, std::int64_t width, std::int32_t* out) {
    const auto size = bytes_of(items.number), whole = items.k / numbers_a_step(items.number);
    for (std::int64_t step = 0; step < whole; step += lanes) {
        const auto here = std::min(lanes, whole - step);
        const auto mask = lane_mask(here);
        __m512i rows[lanes];
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i)
            rows[i] = i < items.count
                          ? _mm512_maskz_loadu_epi32(mask, items.data + i * items.item_stride * size + step * 4)
                          : _mm512_setzero_si512();
        transpose(rows);
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i)
            if (i < here) _mm512_storeu_si512(out + (step + i) * width, rows[i]);
    }
    if (items.number == Number::f32 || items.k % 2 == 0) return;
    std::int32_t last[lanes] = {};  // the odd one has no partner
    for (std::int64_t i = 0; i < items.count; ++i)
        std::memcpy(&last[i], items.data + (i * items.item_stride + items.k - 1) * size, 2);
    std::memcpy(out + whole * width, last, sizeof last);
}

// Up to 16 items that lie side by side: their numbers at one step.
TG_AVX512_INLINE __m512i step_along(const Items& items, std::int64_t step) {
    const auto mask = lane_mask(items.count);
    if (items.number == Number::f32) return _mm512_maskz_loadu_epi32(mask, items.data + step * items.k_stride * 4);
    const __m256i first = _mm256_maskz_loadu_epi16(mask, items.data + 2 * step * items.k_stride * 2);
    const __m256i second = 2 * step + 1 < items.k
                               ? _mm256_maskz_loadu_epi16(mask, items.data + (2 * step + 1) * items.k_stride * 2)
                               : _mm256_setzero_si256();
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

// Where numbers of one k lie side by side, several panels are packed together: a row of them is a page of its own,
// which should not be visited once a panel.
constexpr int vectors_together = 8;
TG_AVX512 void pack_along(const Items (&items)[vectors_together], std::int32_t* const (&out)[vectors_together],
                          int count, std::int64_t width, std::int64_t steps) {
    for (std::int64_t step = 0; step + 1 < steps; ++step)
        for (int i = 0; i < count; ++i) _mm512_storeu_si512(out[i] + step * width, step_along(items[i], step));
    const auto mask = lane_mask(width);  // the panel behind is there already
    for (int i = 0; i < count; ++i)
        _mm512_mask_storeu_epi32(out[i] + (steps - 1) * width, mask, step_along(items[i], steps - 1));
}

// Panels of the items [first, first + count) of `m`, whose items are rows; k in [k_first, k_first + k).
void pack_panels(const MatrixView& m, std::int64_t first, std::int64_t count, std::int64_t k_first, std::int64_t k,
                 std::int64_t width, std::int32_t* out) {
    const auto size = bytes_of(m.number), steps = steps_of(k, m.number);
    Items items[vectors_together];
    std::int32_t* places[vectors_together];
    int waiting = 0;
    for (std::int64_t panel = 0; panel < count; panel += width, out += steps * width)
        for (std::int64_t part = 0; part < width; part += lanes) {
            const auto here = std::clamp<std::int64_t>(count - panel - part, 0, std::min(lanes, width - part));
            const Items next{static_cast<const char*>(m.data) +
                                 ((first + panel + part) * m.row_stride + k_first * m.column_stride) * size,
                             m.number,
                             here,
                             k,
                             m.row_stride,
                             m.column_stride};
            if (m.column_stride == 1) {
                pack_across(next, width, out + part);
                continue;
            }
            items[waiting] = next, places[waiting++] = out + part;
            if (waiting < vectors_together && (panel + width < count || part + lanes < width)) continue;
            pack_along(items, places, waiting, width, steps);
            waiting = 0;
        }
}

// E: of the result.
template <class E, Activation activation> TG_AVX512_INLINE __m512 activated(__m512 x) {
    if constexpr (activation == Activation::silu) return times_sigmoid<E>(x, x);
    if constexpr (activation == Activation::gelu_tanh) {  // 1 + tanh(z) = 2 / (1 + exp(-2 z))
        const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
        return times_sigmoid<E>(
            x, _mm512_mul_ps(_mm512_set1_ps(1.5957691f), _mm512_fmadd_ps(_mm512_set1_ps(0.044715f), cube, x)));
    }
    if constexpr (activation == Activation::gelu) {
        alignas(64) float numbers[lanes];
        _mm512_store_ps(numbers, x);
        rows::gelu(numbers, lanes);
        return _mm512_load_ps(numbers);
    }
    return x;
}

// Where a tile lies in the result.
struct Place {
    std::int64_t row, column, rows, columns;
};
// E: of the result, bias and addend. Whole: with all 32 columns.
template <class E, Activation activation, bool whole> class Finish {
public:
    TG_AVX512_INLINE Finish(const ProductTarget& target, const Place& place)
        : to_(static_cast<E*>(target.data) + place.row * target.row_stride + place.column),
          to_stride_(target.row_stride),
          addend_(target.addend
                      ? static_cast<const E*>(target.addend) + place.row * target.addend_row_stride + place.column
                      : nullptr),
          addend_stride_(target.addend_row_stride) {
        for (std::int64_t v = 0; v < 2; ++v) {
            masks_[v] = whole ? all_lanes : lane_mask(place.columns - v * lanes);
            bias_[v] = target.bias ? load(static_cast<const E*>(target.bias) + place.column + v * lanes, masks_[v])
                                   : _mm512_setzero_ps();
        }
    }
    // The 32 sums of a row.
    TG_AVX512_INLINE void operator()(std::int64_t row, __m512 left, __m512 right) const {
        const __m512 sums[] = {left, right};
#pragma GCC unroll 2
        for (std::int64_t v = 0; v < 2; ++v) {
            __m512 x = activated<E, activation>(_mm512_add_ps(sums[v], bias_[v]));
            if (addend_) x = _mm512_add_ps(x, load(addend_ + row * addend_stride_ + v * lanes, masks_[v]));
            store<whole>(to_ + row * to_stride_ + v * lanes, masks_[v], x);
        }
    }

private:
    E* to_;
    std::int64_t to_stride_;
    const E* addend_;
    std::int64_t addend_stride_;
    __mmask16 masks_[2];
    __m512 bias_[2];
};

// Most tiles: whole, and of one part. They go from the registers to the result.
template <Number number, class E, Activation activation>
TG_AVX512 void whole_tile(const LeftRows& a, const std::int32_t* b, std::int64_t steps, const ProductTarget& target,
                          const Place& place) {
    __m512 tile[tile_rows][2];
    multiply<number>(a, {b, lanes, tile_columns}, steps, tile);
    const Finish<E, activation, true> finish(target, place);
#pragma GCC unroll 14
    for (int i = 0; i < tile_rows; ++i) finish(i, tile[i][0], tile[i][1]);
}

// The others go by way of sums [rows][32]: there is one multiplication for each number of rows, because the last ones
// are seldom all there, and one end for each activation.
template <Number number, int rows>
TG_AVX512 void multiply_tile(const LeftRows& a, const std::int32_t* b, std::int64_t steps, float* sums) {
    __m512 tile[rows][2];
    multiply<number>(a, {b, lanes, tile_columns}, steps, tile);
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i) {
        _mm512_store_ps(sums + i * tile_columns, tile[i][0]);
        _mm512_store_ps(sums + i * tile_columns + lanes, tile[i][1]);
    }
}
template <class E, Activation activation>
TG_AVX512 void finish_tile(const float* sums, const ProductTarget& target, const Place& place) {
    const Finish<E, activation, false> finish(target, place);
    for (std::int64_t i = 0; i < place.rows; ++i)
        finish(i, _mm512_load_ps(sums + i * tile_columns), _mm512_load_ps(sums + i * tile_columns + lanes));
}

// Sums that come in parts: those of the earlier ones, [rows][stride] at this tile, and what becomes of them.
struct Partial {
    float* sums;
    std::int64_t stride;
    bool first, last;
};
TG_AVX512 void add_partial(float* sums, std::int64_t rows, const Partial& partial) {
    for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t c = 0; c < tile_columns; c += lanes) {
            float *here = sums + i * tile_columns + c, *earlier = partial.sums + i * partial.stride + c;
            const __m512 sum =
                partial.first ? _mm512_load_ps(here) : _mm512_add_ps(_mm512_load_ps(here), _mm512_load_ps(earlier));
            _mm512_store_ps(partial.last ? here : earlier, sum);
        }
}

// What a product runs, by number formats and activation.
struct TileKernels {
    void (*whole)(const LeftRows&, const std::int32_t*, std::int64_t, const ProductTarget&, const Place&);
    void (*multiply[tile_rows])(const LeftRows&, const std::int32_t*, std::int64_t, float*);  // by rows - 1
    void (*finish)(const float*, const ProductTarget&, const Place&);
};
template <Number number, class E, Activation activation>
constexpr TileKernels tile_kernels = []<int... rows>(std::integer_sequence<int, rows...>) {
    return TileKernels{
        whole_tile<number, E, activation>, {multiply_tile<number, rows + 1>...}, finish_tile<E, activation>};
}
(std::make_integer_sequence<int, tile_rows>{});

template <Number number, class E> const TileKernels& kernels_of(Activation activation) {
    switch (activation) {
        case Activation::silu: return tile_kernels<number, E, Activation::silu>;
        case Activation::gelu: return tile_kernels<number, E, Activation::gelu>;
        case Activation::gelu_tanh: return tile_kernels<number, E, Activation::gelu_tanh>;
        case Activation::none: break;
    }
    return tile_kernels<number, E, Activation::none>;
}
const TileKernels& kernels_of(Number number, const ProductTarget& target) {
    if (number == Number::f32)
        return target.number == Number::f32 ? kernels_of<Number::f32, float>(target.activation)
                                            : kernels_of<Number::f32, Bf16>(target.activation);
    return target.number == Number::f32 ? kernels_of<Number::bf16, float>(target.activation)
                                        : kernels_of<Number::bf16, Bf16>(target.activation);
}

// Where a tile will go, brought near while it is multiplied.
void fetch(const ProductTarget& target, const Place& place) {
    const auto size = bytes_of(target.number);
    for (std::int64_t i = place.row; i < place.row + place.rows; ++i)
        for (std::int64_t byte = 0; byte < tile_columns * size; byte += 64) {
            __builtin_prefetch(
                static_cast<const char*>(target.data) + (i * target.row_stride + place.column) * size + byte, 1);
            if (target.addend && target.addend != target.data)
                __builtin_prefetch(static_cast<const char*>(target.addend) +
                                   (i * target.addend_row_stride + place.column) * size + byte);
        }
}

// The block [row, row + rows) x [column, column + columns) of the result.
struct Task {
    std::int64_t row, rows, column, columns;
};
// One of the two is null.
struct RightSide {
    const MatrixView* plain;
    const PackedMatrix* packed;
};

// Whether the rows of a serve as they lie: with no half step at the end, and not so far apart that the first-level
// cache has one place for all of them.
bool serves_unpacked(const MatrixView& a) {
    constexpr std::int64_t same_place = 4096;
    return a.column_stride == 1 && a.columns % numbers_a_step(a.number) == 0 &&
           a.row_stride * bytes_of(a.number) % same_place != 0;
}

void run(const Task& task, const MatrixView& a, const RightSide& b, const ProductTarget& target) {
    thread_local std::vector<std::int32_t> a_memory, b_memory, partial_memory;
    alignas(64) float sums[tile_rows * tile_columns];
    const auto number = a.number;
    const auto& kernels = kernels_of(number, target);
    const auto all_steps = steps_of(a.columns, number), parts = std::max<std::int64_t>(1, over(all_steps, most_steps)),
               part_steps = over(all_steps, parts);
    const auto tiles = over(task.rows, tile_rows),
               most_tiles = std::max<std::int64_t>(1, rows_block_bytes / (part_steps * 4 * tile_rows));
    const auto block_rows = over(tiles, over(tiles, most_tiles)) * tile_rows;
    const bool unpacked = serves_unpacked(a);
    const auto partial_stride = over(task.columns, tile_columns) * tile_columns;
    auto* partial =
        parts == 1 ? nullptr : reinterpret_cast<float*>(scratch(partial_memory, task.rows * partial_stride));
    auto* a_panels = unpacked ? nullptr : scratch(a_memory, block_rows * part_steps);
    auto* b_panels =
        b.packed ? nullptr : scratch(b_memory, over(task.columns, tile_columns) * tile_columns * part_steps);
    for (std::int64_t part = 0; part < parts; ++part) {
        const auto first = part * part_steps, steps = std::min(part_steps, all_steps - first);
        const auto k_first = first * numbers_a_step(number),
                   k = std::min(steps * numbers_a_step(number), a.columns - k_first);
        if (b.plain) pack_panels(b.plain->transposed(), task.column, task.columns, k_first, k, tile_columns, b_panels);
        for (std::int64_t row = 0; row < task.rows; row += block_rows) {
            const auto rows = std::min(block_rows, task.rows - row);
            if (!unpacked) pack_panels(a, task.row + row, rows, k_first, k, tile_rows, a_panels);
            for (std::int64_t column = 0; column < task.columns; column += tile_columns) {
                const auto* panel = b.packed ? b.packed->panels() +
                                                   (task.column + column) * steps_of(b.packed->rows(), number) +
                                                   first * tile_columns
                                             : b_panels + column * steps;
                for (std::int64_t i = 0; i < rows; i += tile_rows) {
                    const Place place{task.row + row + i, task.column + column, std::min(tile_rows, rows - i),
                                      std::min(tile_columns, task.columns - column)};
                    const auto a_tile =
                        unpacked ? LeftRows{static_cast<const char*>(a.data) +
                                                (place.row * a.row_stride + k_first) * bytes_of(number),
                                            a.row_stride * bytes_of(number), 4}
                                 : LeftRows{reinterpret_cast<const char*>(a_panels + i * steps), 4, tile_rows * 4};
                    fetch(target, place);
                    if (parts == 1 && place.rows == tile_rows && place.columns == tile_columns) {
                        kernels.whole(a_tile, panel, steps, target, place);
                        continue;
                    }
                    kernels.multiply[place.rows - 1](a_tile, panel, steps, sums);
                    if (parts > 1)
                        add_partial(sums, place.rows,
                                    {partial + (row + i) * partial_stride + column, partial_stride, part == 0,
                                     part + 1 == parts});
                    if (part + 1 == parts) kernels.finish(sums, target, place);
                }
            }
        }
    }
}

void run_all(const MatrixView& a, const RightSide& b, std::int64_t n, const ProductTarget& target) {
    if (a.rows == 0 || n == 0) return;
    // As many tasks as keep every thread busy to the end, where the result is large enough.
    auto down = over(a.rows, task_rows), across = b.packed ? 1 : over(n, task_columns);
    const auto threads = static_cast<std::int64_t>(slice_threads());
    while ((down * across) % threads != 0 && down * across < 4 * threads) {
        const auto rows = a.rows / down, columns = n / across;
        if (std::max(rows / tile_rows, columns / tile_columns) < 4) break;
        ++(rows >= columns ? down : across);
    }
    const auto rows = over(over(a.rows, down), tile_rows) * tile_rows,
               columns = over(over(n, across), tile_columns) * tile_columns;
    down = over(a.rows, rows), across = over(n, columns);
    for_each_slice(down * across, [&](std::int64_t index) {
        const auto row = index % down * rows, column = index / down * columns;
        run({row, std::min(rows, a.rows - row), column, std::min(columns, n - column)}, a, b, target);
    });
}

}  // namespace

void PackedMatrix::Free::operator()(std::int32_t* memory) const { ::operator delete (memory, std::align_val_t{64}); }

void PackedMatrix::pack(const MatrixView& b) {
    number_ = b.number, rows_ = b.rows, columns_ = b.columns;
    const auto words = over(b.columns, tile_columns) * tile_columns * steps_of(b.rows, b.number);
    if (words > words_)
        panels_.reset(static_cast<std::int32_t*>(
            ::operator new (static_cast<std::size_t>(words) * sizeof(std::int32_t), std::align_val_t{64}))),
            words_ = words;
    pack_panels(b.transposed(), 0, b.columns, 0, b.rows, tile_columns, panels_.get());
}

bool can_dense_product(Number number) {
    static const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return avx512 && (number == Number::f32 || __builtin_cpu_supports("avx512bf16"));
}
bool has_dense_product(Number number) {
    if (number == Number::f32) return can_dense_product(number) && !__builtin_cpu_is("intel");
    return can_dense_product(number) && !__builtin_cpu_supports("amx-bf16");
}

void dense_product(const MatrixView& a, const MatrixView& b, const ProductTarget& target) {
    run_all(a, {&b, nullptr}, b.columns, target);
}
void dense_product(const MatrixView& a, const PackedMatrix& b, const ProductTarget& target, std::int64_t columns) {
    run_all(a, {nullptr, &b}, columns == 0 ? b.columns() : columns, target);
}

}  // namespace tg::kernels
