// Exact top-k by inner product: blocked matrix products fused with the selection, so that the score matrix [Q, T] never lands in
// memory. The product only nominates: whatever comes within its rounding error of the k-th best is rescored in double precision in
// a fixed order of summation, so the result does not depend on blocking, threads or the BLAS. Ties go to the lower index.
// Letters of shapes: Q queries, T types, D components, k results a query.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace tg {

class TopK {
public:
    // `types`: [T, D] row-major; must outlive this. `threads` 0: the cores this rank may use. Throws UsageError if k > T or k < 1.
    TopK(std::span<const float> types, std::int64_t dim, int k, int threads = 0);
    ~TopK();

    // queries: [Q, D]. indices, scores: [Q, k], best first. Any number of queries; memory beyond them is a few MiB a thread.
    void operator()(std::span<const float> queries, std::span<std::int64_t> indices, std::span<float> scores) const;

    int k() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg
