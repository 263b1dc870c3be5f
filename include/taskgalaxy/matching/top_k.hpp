// Exact top-k by inner product: blocked products fused with the selection, so that the score matrix [Q, T] never lands
// in memory. The product only nominates (in 8- or 16-bit integers, bf16 or fp32, whichever the processor multiplies
// fastest): whatever comes within its proven rounding error of the k-th best is rescored in double precision in a fixed
// order of summation, so the result does not depend on arithmetic, blocking, threads or the BLAS. Ties go to the lower
// index. Letters of shapes: Q queries, T types, D components, k results a query. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace tg::matching {

class TopK {
public:
    // `types`: [T, D] row-major, finite; must outlive this. `threads` 0: the cores this rank may use. `arithmetic`:
    // auto, int8, int16, bf16 or fp32. Throws UsageError if k > T or k < 1, or for an arithmetic that this processor
    // lacks.
    TopK(std::span<const float> types, std::int64_t dim, int k, int threads = 0, std::string_view arithmetic = "auto");
    ~TopK();

    // queries: [Q, D], finite. indices, scores: [Q, k], best first; the scores are double, so that blocks of types can
    // be joined exactly. Any number of queries; memory beyond them is a few MiB a thread.
    void operator()(std::span<const float> queries, std::span<std::int64_t> indices, std::span<double> scores) const;

    int k() const;
    std::string_view arithmetic() const;  // what "auto" came to

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::matching
