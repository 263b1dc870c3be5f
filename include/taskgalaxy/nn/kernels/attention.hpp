// Attention of whole sequences on processors with AVX-512 (can_dense_product()). What causality hides is never
// computed. Forward by strips of a few queries (attention_strip.hpp), backward by blocks of queries on dense_product(),
// as in FlashAttention-2 (Dao 2023), but that all scores of a strip or block are kept: softmax needs no second pass.
// Letters of shapes: S positions of a sequence, D size of a head.
#pragma once

#include <cstdint>
#include <span>

#include "taskgalaxy/nn/kernels/dense_product.hpp"

namespace tg::kernels {

// Sequences behind each other, a row a position: the queries of all heads, then the keys, then the values. Each
// key_value head serves query / key_value query heads.
struct AttentionInput {
    const void* qkv = nullptr;  // [starts.back(), (query + 2 key_value) * size]
    Number number = Number::f32;
    std::int64_t query = 0, key_value = 0, size = 0;
    std::span<const std::int64_t> starts;  // sequences + 1; they may be empty
    bool causal = true;

    std::int64_t row() const { return (query + 2 * key_value) * size; }
    std::int64_t tokens() const { return starts.back(); }
};

// Outputs overlap no input. Both run on the threads of for_each_slice(); the bits do not depend on their number.
// out: [tokens, query * size] of the input's number format; log_sum_exp: [query, tokens] or null.
void attend(const AttentionInput& input, void* out, float* log_sum_exp);
// d_out, out: [tokens, query * size]; d_qkv: as qkv, overwritten.
void attend_backward(const AttentionInput& input, const void* d_out, const void* out, const float* log_sum_exp,
                     void* d_qkv);

}  // namespace tg::kernels
