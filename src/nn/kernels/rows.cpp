#include "taskgalaxy/nn/kernels/rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "taskgalaxy/core/clones.hpp"

namespace tg::kernels::rows {
namespace {

TG_INLINE float get(float x) { return x; }
TG_INLINE float get(Bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }
TG_INLINE void put(float& to, float x) { to = x; }
TG_INLINE void put(Bf16& to, float x) {  // to nearest, ties to even
    const auto bits = std::bit_cast<std::uint32_t>(x);
    to.bits = static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
template <class E> TG_INLINE float rounded(float x) {
    E e;
    put(e, x);
    return get(e);
}

template <class E> TG_INLINE float rms_norm_row(const E* x, const E* w, E* y, std::int64_t n, float eps) {
    float squares = 0;
    for (std::int64_t i = 0; i < n; ++i) squares += get(x[i]) * get(x[i]);
    const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
    for (std::int64_t i = 0; i < n; ++i) put(y[i], rounded<E>(get(x[i]) * rstd) * get(w[i]));
    return rstd;
}

template <class E> TG_INLINE void layer_norm_row(const E* x, const E* w, const E* b, E* y, std::int64_t n, float eps) {
    float sum = 0, squares = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += get(x[i]);
    const float mean = sum / static_cast<float>(n);
    for (std::int64_t i = 0; i < n; ++i) squares += (get(x[i]) - mean) * (get(x[i]) - mean);
    const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
    for (std::int64_t i = 0; i < n; ++i) put(y[i], (get(x[i]) - mean) * rstd * get(w[i]) + get(b[i]));
}

template <class E> TG_INLINE void rms_norm_backward_row(const E* dy, const E* x, const E* w, float rstd,
                                                        const E* residual, E* dx, float* dw, std::int64_t n) {
    float dot = 0;
    for (std::int64_t i = 0; i < n; ++i) dot += get(dy[i]) * get(w[i]) * get(x[i]);
    const float pull = dot * rstd * rstd / static_cast<float>(n);
    if (dw)
        for (std::int64_t i = 0; i < n; ++i) dw[i] += get(dy[i]) * get(x[i]) * rstd;
    if (residual)
        for (std::int64_t i = 0; i < n; ++i)
            put(dx[i], get(residual[i]) + rstd * (get(dy[i]) * get(w[i]) - get(x[i]) * pull));
    else
        for (std::int64_t i = 0; i < n; ++i) put(dx[i], rstd * (get(dy[i]) * get(w[i]) - get(x[i]) * pull));
}

template <class E>
TG_INLINE void rotate_row(E* x, const E* cos, const E* sin, std::int64_t heads, std::int64_t size, float sign) {
    const auto half = size / 2;
    for (std::int64_t h = 0; h < heads; ++h, x += size)
        for (std::int64_t i = 0; i < half; ++i) {
            const float a = get(x[i]), b = get(x[i + half]), c = get(cos[i]), s = sign * get(sin[i]);
            put(x[i], a * c - b * s);
            put(x[i + half], b * c + a * s);
        }
}

template <class E> TG_INLINE void swiglu_row(const E* gate, const E* up, E* y, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        const float g = get(gate[i]);
        put(y[i], rounded<E>(g / (1.0f + std::exp(-g))) * get(up[i]));
    }
}

template <class E>
TG_INLINE void swiglu_backward_row(const E* dy, const E* gate, const E* up, E* d_gate, E* d_up, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        const float g = get(gate[i]), d = get(dy[i]);
        const float sigmoid = 1.0f / (1.0f + std::exp(-g));
        put(d_up[i], d * g * sigmoid);
        put(d_gate[i], d * get(up[i]) * sigmoid * (1.0f + g * (1.0f - sigmoid)));
    }
}

template <class E> TG_INLINE float dot_row(const E* a, const E* b, std::int64_t n) {
    float sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += get(a[i]) * get(b[i]);
    return sum;
}

template <class E> TG_INLINE void attend_row(const E* q, const E* keys, const E* values, E* out, std::int64_t group,
                                             std::int64_t length, std::int64_t size, float scale, float* scores) {
    constexpr std::int64_t widest = 512;
    float sums[widest];
    for (std::int64_t g = 0; g < group; ++g, q += size, out += size) {
        float top = -3.0e38f;
        for (std::int64_t t = 0; t < length; ++t) {
            float dot = 0;
            for (std::int64_t i = 0; i < size; ++i) dot += get(q[i]) * get(keys[t * size + i]);
            scores[t] = dot * scale;
            top = std::max(top, scores[t]);
        }
        float total = 0;
        for (std::int64_t t = 0; t < length; ++t) total += scores[t] = std::exp(scores[t] - top);
        for (std::int64_t first = 0; first < size; first += widest) {
            const auto count = std::min(widest, size - first);
            std::fill(sums, sums + count, 0.0f);
            for (std::int64_t t = 0; t < length; ++t)
                for (std::int64_t i = 0; i < count; ++i) sums[i] += scores[t] * get(values[t * size + first + i]);
            for (std::int64_t i = 0; i < count; ++i) put(out[first + i], sums[i] / total);
        }
    }
}

}  // namespace

#define TG_ROWS(E)                                                                                                     \
    TG_CLONES float rms_norm(const E* x, const E* w, E* y, std::int64_t n, float eps) {                                \
        return rms_norm_row(x, w, y, n, eps);                                                                          \
    }                                                                                                                  \
    TG_CLONES void layer_norm(const E* x, const E* w, const E* b, E* y, std::int64_t n, float eps) {                   \
        layer_norm_row(x, w, b, y, n, eps);                                                                            \
    }                                                                                                                  \
    TG_CLONES void rms_norm_backward(const E* dy, const E* x, const E* w, float rstd, const E* residual, E* dx,        \
                                     float* dw, std::int64_t n) {                                                      \
        rms_norm_backward_row(dy, x, w, rstd, residual, dx, dw, n);                                                    \
    }                                                                                                                  \
    TG_CLONES void rotate(E* x, const E* cos, const E* sin, std::int64_t heads, std::int64_t size, float sign) {       \
        rotate_row(x, cos, sin, heads, size, sign);                                                                    \
    }                                                                                                                  \
    TG_CLONES void swiglu(const E* gate, const E* up, E* y, std::int64_t n) { swiglu_row(gate, up, y, n); }            \
    TG_CLONES void swiglu_backward(const E* dy, const E* gate, const E* up, E* d_gate, E* d_up, std::int64_t n) {      \
        swiglu_backward_row(dy, gate, up, d_gate, d_up, n);                                                            \
    }                                                                                                                  \
    TG_CLONES float dot(const E* a, const E* b, std::int64_t n) { return dot_row(a, b, n); }                           \
    TG_CLONES void convert(const float* from, E* to, std::int64_t n) {                                                 \
        for (std::int64_t i = 0; i < n; ++i) put(to[i], from[i]);                                                      \
    }                                                                                                                  \
    TG_CLONES void attend(const E* q, const E* keys, const E* values, E* out, std::int64_t group, std::int64_t length, \
                          std::int64_t size, float scale, float* scores) {                                             \
        attend_row(q, keys, values, out, group, length, size, scale, scores);                                          \
    }

TG_ROWS(float)
TG_ROWS(Bf16)

TG_CLONES double cross_entropy(float* logits, std::int64_t n, std::int64_t label, float scale) {
    float top = logits[0];
    for (std::int64_t i = 1; i < n; ++i) top = std::max(top, logits[i]);
    const float at_label = logits[label] - top;
    float total = 0;
    if (scale == 0) {
        for (std::int64_t i = 0; i < n; ++i) total += std::exp(logits[i] - top);
    } else {
        for (std::int64_t i = 0; i < n; ++i) total += logits[i] = std::exp(logits[i] - top);
        const float share = scale / total;
        for (std::int64_t i = 0; i < n; ++i) logits[i] *= share;
        logits[label] -= scale;
    }
    return std::log(static_cast<double>(total)) - at_label;
}

TG_CLONES void gelu(float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) x[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678f));
}

TG_CLONES void add(float* y, const float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}
TG_CLONES void add(float* y, const Bf16* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += get(x[i]);
}

}  // namespace tg::kernels::rows
