// Matrices of both number formats, filled with numbers that every test of a seed finds again.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/nn/kernels/dense_product.hpp"

namespace tg::kernels {

inline float number_of(Bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }
inline Bf16 bf16_of(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return {static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

// Numbers in a matrix's own format, row by row or column by column.
class Matrix {
public:
    Matrix(Number number, std::int64_t rows, std::int64_t columns, bool by_columns = false, std::uint64_t seed = 0)
        : number_(number),
          rows_(rows),
          columns_(columns),
          by_columns_(by_columns),
          floats_(static_cast<std::size_t>(rows * columns)),
          halves_(floats_.size()) {
        RandomStream random(seed);
        for (std::size_t i = 0; i < floats_.size(); ++i) {
            const auto x = static_cast<float>(2 * random.unit() - 1);
            halves_[i] = bf16_of(x);
            floats_[i] = number == Number::f32 ? x : tg::kernels::number_of(halves_[i]);
        }
    }
    // One column.
    Matrix(Number number, const std::vector<float>& values) : Matrix(number, std::ssize(values), 1) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            halves_[i] = bf16_of(values[i]);
            floats_[i] = number == Number::f32 ? values[i] : tg::kernels::number_of(halves_[i]);
        }
    }
    void* data() { return number_ == Number::f32 ? static_cast<void*>(floats_.data()) : halves_.data(); }
    MatrixView view() {
        return {data(), number_, rows_, columns_, by_columns_ ? 1 : columns_, by_columns_ ? rows_ : 1};
    }
    ProductTarget target() { return {data(), number_, columns_}; }
    double at(std::int64_t row, std::int64_t column) const {
        const auto i = static_cast<std::size_t>(by_columns_ ? column * rows_ + row : row * columns_ + column);
        return static_cast<double>(number_ == Number::f32 ? floats_[i] : tg::kernels::number_of(halves_[i]));
    }

private:
    Number number_;
    std::int64_t rows_, columns_;
    bool by_columns_;
    std::vector<float> floats_;
    std::vector<Bf16> halves_;
};

}  // namespace tg::kernels
