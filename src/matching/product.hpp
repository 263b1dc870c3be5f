// The product of queries with all types that nominates: approximate scores whose error is known, each shown to the
// query's Nominees while it is still in a register or in cache. A kind of arithmetic is one file and one row in
// make_product(). Letters of shapes: Q queries of a block, T types, D components.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nominees.hpp"

namespace tg::matching {

class Product {
public:
    virtual ~Product() = default;
    // queries: [Q, D], Q at most block(). Begins nominees[q] and offers it every type whose score may reach its bar,
    // with proven bounds. Called by many threads at once, each with its own nominees.
    virtual void offer(std::span<const float> queries, int k, std::span<Nominees> nominees) const = 0;
    virtual std::int64_t block() const = 0;  // queries that are best given together
    virtual std::string_view name() const = 0;
};

// "auto": the fastest that this processor has. `types` [T, D] must outlive the product. Throws UsageError for one that
// cannot run here.
std::unique_ptr<Product> make_product(std::string_view kind, std::span<const float> types, std::int64_t dim);
std::vector<std::string> product_kinds();

std::unique_ptr<Product> make_int8_product(std::span<const float> types, std::int64_t dim);  // x86 with AVX-512 VNNI
bool can_use_int8_product(std::int64_t dim);
std::unique_ptr<Product> make_int16_product(std::span<const float> types, std::int64_t dim);  // x86 with AVX2
bool can_use_int16_product(std::int64_t dim);
std::unique_ptr<Product> make_torch_product(std::span<const float> types, std::int64_t dim, bool bf16);

// Dot product as the sum of eight running double sums in a fixed order: vectorised, and the same bits on every machine
// with IEEE doubles (the products of floats are exact in double).
double exact_dot(const float* a, const float* b, std::int64_t dim);
float length_of(const float* row, std::int64_t dim);

}  // namespace tg::matching
