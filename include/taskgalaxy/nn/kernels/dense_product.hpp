// Products of large matrices on processors with AVX-512: fp32, and bf16 with fp32 sums where the processor multiplies
// bf16. For what the libraries of libtorch leave on the table: MKL runs AVX2 code on processors that are not Intel's,
// oneDNN packs the weights anew for every product and needs a pass over memory of its own for each bias, activation,
// residual and gradient sum.
//
// Built as BLIS is (Van Zee, van de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS functionality"): b is
// packed into panels, a tile of 14 x 32 sums lives in registers. Unlike there the rows of a are read where they lie, if
// they lie well for it. Letters of shapes: M rows of a and of the result, N columns of b and of the result, K what is
// summed over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "taskgalaxy/nn/kernels/number.hpp"

namespace tg::kernels {

enum class Activation : std::uint8_t { none, silu, gelu, gelu_tanh };  // gelu by erf, gelu_tanh by its approximation

// Element (r, c) lies at data[r * row_stride + c * column_stride]; one of the two strides is 1.
struct MatrixView {
    const void* data = nullptr;
    Number number = Number::f32;
    std::int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 1;

    MatrixView transposed() const { return {data, number, columns, rows, column_stride, row_stride}; }
};

// Where the result goes and what happens on the way: result = activation(product + bias) + addend, all of one number
// format. The addend may be the result itself, a and b may not overlap it. Null: nothing.
struct ProductTarget {
    void* data = nullptr;  // [M, N]
    Number number = Number::f32;
    std::int64_t row_stride = 0;
    const void* addend = nullptr;  // [M, N]
    std::int64_t addend_row_stride = 0;
    const void* bias = nullptr;  // [N]
    Activation activation = Activation::none;
};

// A matrix [K, N] in the order in which the product reads it, for what is multiplied again and again. Filled up with
// zeros to a multiple of 32 columns, and in bf16 to an even number of rows.
class PackedMatrix {
public:
    PackedMatrix() = default;
    explicit PackedMatrix(const MatrixView& b) { pack(b); }
    void pack(const MatrixView& b);  // anew, in the memory that is there if it is enough
    std::int64_t rows() const { return rows_; }
    std::int64_t columns() const { return columns_; }
    Number number() const { return number_; }
    const std::int32_t* panels() const { return panels_.get(); }

private:
    struct Free {
        void operator()(std::int32_t* memory) const;
    };
    Number number_ = Number::f32;
    std::int64_t rows_ = 0, columns_ = 0, words_ = 0;
    std::unique_ptr<std::int32_t, Free> panels_;
};

// Whether this processor has the instructions. Nothing else below and in attention.hpp may be called where it has not.
bool can_dense_product(Number number);
// And is not served better by the libraries (Intel's by MKL in fp32, those with AMX by oneDNN in bf16).
bool has_dense_product(Number number);

// a [M, K], b [K, N], both of one number format. Runs on the threads of for_each_slice(); an element's bits depend
// neither on their number nor on the other rows and columns. No alignment is asked for. Any thread, also one that is
// inside a slice: then that one alone works.
void dense_product(const MatrixView& a, const MatrixView& b, const ProductTarget& target);
// With the first K rows and `columns` columns of b (0: all); both may reach into the zeros.
void dense_product(const MatrixView& a, const PackedMatrix& b, const ProductTarget& target, std::int64_t columns = 0);

}  // namespace tg::kernels
