#include "taskgalaxy/nn/kernels/narrow_product.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "taskgalaxy/core/clones.hpp"

namespace tg::kernels {
namespace {

constexpr std::int64_t lanes = 8;
using Vector = float __attribute__((vector_size(lanes * sizeof(float))));
using Unaligned = float __attribute__((vector_size(lanes * sizeof(float)), aligned(sizeof(float))));
using Order = int __attribute__((vector_size(lanes * sizeof(int))));

// A tile's sums, its operands and one more fit the 16 registers of AVX2.
constexpr int tile_rows = 4, tile_columns = 3;

// Adds the lanes of four vectors at once.
TG_INLINE void store_sums(const Vector& a, const Vector& b, const Vector& c, const Vector& d, float* out,
                          std::int64_t stride, int count) {
    const Vector ab = __builtin_shuffle(a, b, Order{0, 8, 1, 9, 4, 12, 5, 13}) +
                      __builtin_shuffle(a, b, Order{2, 10, 3, 11, 6, 14, 7, 15});
    const Vector cd = __builtin_shuffle(c, d, Order{0, 8, 1, 9, 4, 12, 5, 13}) +
                      __builtin_shuffle(c, d, Order{2, 10, 3, 11, 6, 14, 7, 15});
    const Vector all = __builtin_shuffle(ab, cd, Order{0, 1, 8, 9, 4, 5, 12, 13}) +
                       __builtin_shuffle(ab, cd, Order{2, 3, 10, 11, 6, 7, 14, 15});
    for (int i = 0; i < count; ++i) out[i * stride] = all[i] + all[i + 4];
}

template <int M, int N>
TG_INLINE void multiply_tile(const float* x, const float* w, float* y, std::int64_t k, std::int64_t n) {
    Vector sums[M][N] = {};
    const auto whole = k - k % lanes;
    for (std::int64_t c = 0; c < whole; c += lanes) {
        Vector ws[N];
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) ws[j] = *reinterpret_cast<const Unaligned*>(w + j * k + c);
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i) {
            const Vector xs = *reinterpret_cast<const Unaligned*>(x + i * k + c);
#pragma GCC unroll 4
            for (int j = 0; j < N; ++j) sums[i][j] += xs * ws[j];
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
        store_sums(sums[0][j], sums[M > 1 ? 1 : 0][j], sums[M > 2 ? 2 : 0][j], sums[M > 3 ? 3 : 0][j], y + j, n, M);
        for (int i = 0; i < M; ++i)
            for (auto c = whole; c < k; ++c) y[i * n + j] += x[i * k + c] * w[j * k + c];
    }
}

// All rows of x with the columns [j, j + N) of y; meanwhile the bytes from `next` to `last` are fetched.
template <int N> TG_INLINE void multiply_columns(const float* x, const float* w, float* y, std::int64_t m,
                                                 std::int64_t k, std::int64_t n, const char* next, const char* last) {
    constexpr std::int64_t line = 64;
    const auto share = ((last - next) / line / std::max<std::int64_t>(1, m / tile_rows) + 1) * line;
    for (std::int64_t i = 0; i < m;) {
        for (const auto* until = std::min(last, next + share); next < until; next += line) __builtin_prefetch(next);
        if (i + tile_rows <= m) {
            multiply_tile<tile_rows, N>(x + i * k, w, y + i * n, k, n);
            i += tile_rows;
        } else {
            multiply_tile<1, N>(x + i * k, w, y + i * n, k, n);
            ++i;
        }
    }
}

TG_INLINE const float* widened(const float* w, std::int64_t, std::vector<float>&) { return w; }
TG_INLINE const float* widened(const Bf16* w, std::int64_t count, std::vector<float>& buffer) {
    for (std::int64_t i = 0; i < count; ++i)
        buffer[static_cast<std::size_t>(i)] = std::bit_cast<float>(static_cast<std::uint32_t>(w[i].bits) << 16);
    return buffer.data();
}

template <class E> TG_INLINE void multiply(const float* x, const E* w, float* y, std::int64_t m, std::int64_t k,
                                           std::int64_t n, std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(std::is_same_v<E, float> ? 0 : static_cast<std::size_t>(tile_columns * k));
    const auto bytes_of = [&](std::int64_t j) { return reinterpret_cast<const char*>(w + std::min(j, end) * k); };
    auto j = begin;
    for (; j + tile_columns <= end; j += tile_columns)
        multiply_columns<tile_columns>(x, widened(w + j * k, tile_columns * k, buffer), y + j, m, k, n,
                                       bytes_of(j + tile_columns), bytes_of(j + 2 * tile_columns));
    for (; j < end; ++j) multiply_columns<1>(x, widened(w + j * k, k, buffer), y + j, m, k, n, nullptr, nullptr);
}

}  // namespace

TG_CLONES void narrow_product(const float* x, const float* w, float* y, std::int64_t m, std::int64_t k, std::int64_t n,
                              std::int64_t begin, std::int64_t end) {
    multiply(x, w, y, m, k, n, begin, end);
}
TG_CLONES void narrow_product(const float* x, const Bf16* w, float* y, std::int64_t m, std::int64_t k, std::int64_t n,
                              std::int64_t begin, std::int64_t end) {
    multiply(x, w, y, m, k, n, begin, end);
}

}  // namespace tg::kernels
