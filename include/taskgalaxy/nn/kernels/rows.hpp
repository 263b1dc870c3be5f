// The inner loops of the element-wise steps on CPUs: one row each, in a file of its own that alone is built with fast
// arithmetic and a clone for AVX-512 and AVX2. E is float or Bf16; sums are fp32. Numbers of a row lie behind each
// other, at any alignment. Outputs overlap no input; rotate, cross_entropy, gelu and add work in place. On the calling
// thread alone.
#pragma once

#include <cstdint>

#include "taskgalaxy/nn/kernels/number.hpp"

namespace tg::kernels::rows {

// Every function exists for float and Bf16.
#define TG_ROWS(E)                                                                                                  \
    /* y = round(x * rstd) * w */                                                                                   \
    float rms_norm(const E* x, const E* w, E* y, std::int64_t n, float eps);                                        \
    /* y = (x - mean) * rstd * w + b */                                                                             \
    void layer_norm(const E* x, const E* w, const E* b, E* y, std::int64_t n, float eps);                           \
    /* dx = gradient of rms_norm + residual (may be null); dw (may be null) += */                                   \
    void rms_norm_backward(const E* dy, const E* x, const E* w, float rstd, const E* residual, E* dx, float* dw,    \
                           std::int64_t n);                                                                         \
    /* heads of `size` behind each other in x; cos, sin: [size]; sign -1 turns back */                              \
    void rotate(E* x, const E* cos, const E* sin, std::int64_t heads, std::int64_t size, float sign);               \
    /* gate, up: [n] each */                                                                                        \
    void swiglu(const E* gate, const E* up, E* y, std::int64_t n);                                                  \
    void swiglu_backward(const E* dy, const E* gate, const E* up, E* d_gate, E* d_up, std::int64_t n);              \
    float dot(const E* a, const E* b, std::int64_t n);                                                              \
    void convert(const float* from, E* to, std::int64_t n);                                                         \
    /* out [group, size]: attention of `group` queries on keys and values [length, size]; scores: room for `length` \
     * floats */                                                                                                    \
    void attend(const E* q, const E* keys, const E* values, E* out, std::int64_t group, std::int64_t length,        \
                std::int64_t size, float scale, float* scores);

TG_ROWS(float)
TG_ROWS(Bf16)
#undef TG_ROWS

// -log softmax(logits)[label]; with `scale` not 0, logits become scale * its gradient.
double cross_entropy(float* logits, std::int64_t n, std::int64_t label, float scale);
// In place, by erf.
void gelu(float* x, std::int64_t n);
// y += x
void add(float* y, const float* x, std::int64_t n);
void add(float* y, const Bf16* x, std::int64_t n);

}  // namespace tg::kernels::rows
