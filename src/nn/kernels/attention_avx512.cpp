#include "taskgalaxy/nn/kernels/attention.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "attention_strip.hpp"
#include "taskgalaxy/nn/kernels/rows.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"

namespace tg::kernels {
namespace {

// Queries of a block: whole tiles of dense_product(), and scores that stay in the second-level cache.
std::int64_t block_rows(std::int64_t positions) { return positions <= 1024 ? 140 : 70; }

// One head of one sequence: where its numbers lie.
template <class E> struct Head {
    const AttentionInput& input;
    std::int64_t begin, positions, query, key_value;

    MatrixView view(const void* data, std::int64_t row_stride, std::int64_t column, std::int64_t first,
                    std::int64_t rows) const {
        return {static_cast<const E*>(data) + (begin + first) * row_stride + column,
                input.number,
                rows,
                input.size,
                row_stride,
                1};
    }
    MatrixView queries(std::int64_t first, std::int64_t rows) const {
        return view(input.qkv, input.row(), query * input.size, first, rows);
    }
    MatrixView keys() const {
        return view(input.qkv, input.row(), (input.query + key_value) * input.size, 0, positions);
    }
    MatrixView values() const {
        return view(input.qkv, input.row(), (input.query + input.key_value + key_value) * input.size, 0, positions);
    }
    // The same place in a matrix [tokens, query * size].
    MatrixView of_output(const void* data, std::int64_t first, std::int64_t rows) const {
        return view(data, input.query * input.size, query * input.size, first, rows);
    }
};

struct Block {
    std::int64_t first, rows, seen;  // positions [0, seen) are looked at by some query of it
};
template <class Work> void for_each_block(const AttentionInput& input, std::int64_t positions, Work&& work) {
    const auto rows = block_rows(positions);
    for (std::int64_t first = 0; first < positions; first += rows) {
        const auto here = std::min(rows, positions - first);
        work(Block{first, here, input.causal ? first + here : positions});
    }
}
std::int64_t seen_by(const AttentionInput& input, const Block& block, std::int64_t row) {
    return input.causal ? block.first + row + 1 : block.seen;
}

// Rows of scores lie this far apart, so that they are whole tiles of dense_product() and whole vectors here; what is
// not seen is behind them.
std::int64_t score_stride(std::int64_t seen) { return over(seen, 32) * 32; }

// shares [n] = exp(scale * scores - log_sum_exp), d_scores [n] = scale * shares * (d_shares - drawn), zeros from `seen`
// on.
template <class E> TG_AVX512 void softmax_backward(const float* scores, const float* d_shares, float log_sum_exp,
                                                   float drawn, E* shares, E* d_scores, std::int64_t seen,
                                                   std::int64_t n, float scale) {
    const __m512 factor = _mm512_set1_ps(scale), shift = _mm512_set1_ps(log_sum_exp), drawn_all = _mm512_set1_ps(drawn);
    for (std::int64_t i = 0; i < n; i += lanes) {
        const auto mask = lane_mask(seen - i);
        const __m512 share =
            _mm512_maskz_mov_ps(mask, exponential(_mm512_fmsub_ps(factor, load(scores + i, all_lanes), shift)));
        store<true>(shares + i, all_lanes, share);
        store<true>(d_scores + i, all_lanes,
                    _mm512_maskz_mul_ps(mask, _mm512_mul_ps(factor, share),
                                        _mm512_sub_ps(load(d_shares + i, all_lanes), drawn_all)));
    }
}

template <class E> void attend_head(const Head<E>& head, void* out, float* log_sum_exp) {
    using namespace attention;
    constexpr auto number = number_of_type<E>;
    static constexpr auto kernels = strip_kernels<E>(std::make_index_sequence<strip_rows>());
    thread_local std::vector<std::int32_t> key_memory, value_memory, query_memory, score_memory, power_memory;
    const auto& input = head.input;
    const auto D = input.size, S = head.positions, row = input.row(),
               query_stride = over(D, numbers_a_line<E>) * numbers_a_line<E>, most = over(S, lanes) * lanes;
    const auto key_steps = steps_of(D, number), value_steps = steps_of(S, number);
    auto *keys = scratch(key_memory, most * key_steps),
         *values = scratch(value_memory, over(D, lanes) * lanes * value_steps);
    const auto *all_queries = static_cast<const E*>(head.queries(0, S).data),
               *all_keys = static_cast<const E*>(head.keys().data),
               *all_values = static_cast<const E*>(head.values().data);
    fetch(all_keys, row, 0, lanes, S, D);
    fetch(all_values, row, 0, lanes, S, D);
    pack_keys(all_keys, row, S, D, key_steps, keys);
    fetch(all_queries, row, 0, strip_rows, S, D);
    pack_values(all_values, row, S, D, value_steps, values);
    auto* queries = reinterpret_cast<E*>(scratch(query_memory, strip_rows * query_stride));
    Strip<E> strip{queries,
                   query_stride,
                   0,
                   input.causal,
                   1.0f / std::sqrt(static_cast<float>(D)),
                   reinterpret_cast<float*>(scratch(score_memory, strip_rows * most)),
                   reinterpret_cast<E*>(scratch(power_memory, strip_rows * most)),
                   nullptr,
                   input.query * D,
                   nullptr};
    for (std::int64_t first = 0; first < S; first += strip_rows) {
        const auto rows = std::min<std::int64_t>(strip_rows, S - first);
        pack_queries(all_queries + first * row, rows, row, D, query_stride, queries);
        fetch(all_queries, row, first + strip_rows, strip_rows, S, D);
        strip.seen = input.causal ? first + rows : S;
        strip.out = static_cast<E*>(const_cast<void*>(head.of_output(out, first, rows).data));
        strip.log_sum_exp = log_sum_exp ? log_sum_exp + first : nullptr;
        kernels[static_cast<std::size_t>(rows - 1)](strip, {D, key_steps, value_steps, keys, values});
    }
}

// All query heads that share one key_value head.
template <class E>
void attend_group_backward(Head<E> head, const void* d_out, const void* out, const float* log_sum_exp, void* d_qkv) {
    thread_local PackedMatrix keys, keys_transposed, values_transposed;
    thread_local std::vector<float> scores, d_shares, d_keys, d_values;
    thread_local std::vector<E> shares, d_scores;
    const auto& input = head.input;
    const auto D = input.size, group = input.query / input.key_value, S = head.positions;
    const auto scale = 1.0f / std::sqrt(static_cast<float>(D));
    keys.pack(head.keys());
    keys_transposed.pack(head.keys().transposed());
    values_transposed.pack(head.values().transposed());
    for (auto* block : {&scores, &d_shares}) block->resize(static_cast<std::size_t>(block_rows(S) * score_stride(S)));
    for (auto* block : {&shares, &d_scores}) block->resize(scores.size());
    for (auto* sum : {&d_keys, &d_values}) sum->assign(static_cast<std::size_t>(S * D), 0.0f);
    const auto place = [&](std::int64_t column, std::int64_t first) {
        return static_cast<E*>(d_qkv) + (head.begin + first) * input.row() + column;
    };
    for (head.query = head.key_value * group; head.query < (head.key_value + 1) * group; ++head.query)
        for_each_block(input, S, [&](const Block& block) {
            const auto queries = head.queries(block.first, block.rows),
                       d = head.of_output(d_out, block.first, block.rows),
                       o = head.of_output(out, block.first, block.rows);
            const auto stride = score_stride(block.seen);
            dense_product(queries, keys_transposed, {scores.data(), Number::f32, stride}, stride);
            dense_product(d, values_transposed, {d_shares.data(), Number::f32, stride}, stride);
            for (std::int64_t i = 0; i < block.rows; ++i) {
                const auto at = i * stride;
                const float drawn = rows::dot(static_cast<const E*>(d.data) + i * d.row_stride,
                                              static_cast<const E*>(o.data) + i * o.row_stride, D);
                softmax_backward(scores.data() + at, d_shares.data() + at,
                                 log_sum_exp[head.query * input.tokens() + head.begin + block.first + i], drawn,
                                 shares.data() + at, d_scores.data() + at, seen_by(input, block, i), stride, scale);
            }
            const MatrixView share{shares.data(), input.number, block.rows, block.seen, stride, 1},
                d_score{d_scores.data(), input.number, block.rows, block.seen, stride, 1};
            dense_product(d_score, keys, {place(head.query * D, block.first), input.number, input.row()});
            dense_product(share.transposed(), d, {d_values.data(), Number::f32, D, d_values.data(), D});
            dense_product(d_score.transposed(), queries, {d_keys.data(), Number::f32, D, d_keys.data(), D});
        });
    for (std::int64_t s = 0; s < S; ++s) {
        rows::convert(d_keys.data() + s * D, place((input.query + head.key_value) * D, s), D);
        rows::convert(d_values.data() + s * D, place((input.query + input.key_value + head.key_value) * D, s), D);
    }
}

// work(sequence, head) on all threads; not of empty sequences.
void for_each_head(const AttentionInput& input, std::int64_t heads,
                   const std::function<void(std::size_t, std::int64_t)>& work) {
    const auto sequences = static_cast<std::int64_t>(input.starts.size()) - 1;
    for_each_slice(sequences * heads, [&](std::int64_t i) {
        const auto sequence = static_cast<std::size_t>(i / heads);
        if (input.starts[sequence] != input.starts[sequence + 1]) work(sequence, i % heads);
    });
}

template <class Work> void by_number(Number number, Work&& work) {
    if (number == Number::f32) work(static_cast<float*>(nullptr));
    else work(static_cast<Bf16*>(nullptr));
}

}  // namespace

void attend(const AttentionInput& input, void* out, float* log_sum_exp) {
    by_number(input.number, [&]<class E>(E*) {
        for_each_head(input, input.query, [&](std::size_t sequence, std::int64_t head) {
            const auto begin = input.starts[sequence];
            attend_head(
                Head<E>{input, begin, input.starts[sequence + 1] - begin, head, head / (input.query / input.key_value)},
                out, log_sum_exp ? log_sum_exp + head * input.tokens() + begin : nullptr);
        });
    });
}

void attend_backward(const AttentionInput& input, const void* d_out, const void* out, const float* log_sum_exp,
                     void* d_qkv) {
    by_number(input.number, [&]<class E>(E*) {
        for_each_head(input, input.key_value, [&](std::size_t sequence, std::int64_t head) {
            const auto begin = input.starts[sequence];
            attend_group_backward(Head<E>{input, begin, input.starts[sequence + 1] - begin, 0, head}, d_out, out,
                                  log_sum_exp, d_qkv);
        });
    });
}

}  // namespace tg::kernels
