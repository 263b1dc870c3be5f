#include "taskgalaxy/matching/top_k.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "product.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"

namespace tg::matching {

struct TopK::Impl {
    std::span<const float> types;
    std::int64_t dim;
    int k, threads;
    std::unique_ptr<Product> product;

    void block(std::span<const float> queries, std::span<std::int64_t> indices, std::span<double> scores) const {
        const auto rows = queries.size() / static_cast<std::size_t>(dim), results = static_cast<std::size_t>(k);
        std::vector<Nominees> nominees(rows);
        product->offer(queries, k, nominees);
        std::vector<std::pair<double, std::int32_t>>
            exact;  // (-score, type): ascending order is best first, ties by type
        for (std::size_t q = 0; q < rows; ++q) {
            exact.clear();
            const auto& left = nominees[q].finish();
            const auto row_of = [&](std::size_t i) { return types.data() + left[i].type * dim; };
            for (std::size_t i = 0; i < left.size(); ++i) {
                if (i + 1 < left.size())  // these rows lie far apart
                    for (std::int64_t d = 0; d < dim; d += 16) __builtin_prefetch(row_of(i + 1) + d);
                exact.emplace_back(-exact_dot(queries.data() + static_cast<std::int64_t>(q) * dim, row_of(i), dim),
                                   left[i].type);
            }
            std::partial_sort(exact.begin(), exact.begin() + k, exact.end());
            for (std::size_t rank = 0; rank < results; ++rank) {
                indices[q * results + rank] = exact[rank].second;
                scores[q * results + rank] = -exact[rank].first;
            }
        }
    }
};

TopK::TopK(std::span<const float> types, std::int64_t dim, int k, int threads, std::string_view arithmetic) {
    const auto num_types = static_cast<std::int64_t>(types.size()) / dim;
    if (k < 1 || k > num_types)
        throw UsageError(fmt::format("match.k = {}, but there are {} task types", k, num_types),
                         fmt::format("choose 1 to {}", num_types));
    impl_ = std::make_unique<Impl>(Impl{types, dim, k, threads, make_product(arithmetic, types, dim)});
}

TopK::~TopK() = default;
int TopK::k() const { return impl_->k; }
std::string_view TopK::arithmetic() const { return impl_->product->name(); }

void TopK::operator()(std::span<const float> queries, std::span<std::int64_t> indices, std::span<double> scores) const {
    const auto rows = static_cast<std::int64_t>(queries.size()) / impl_->dim, block = impl_->product->block();
    kernels::for_each_slice((rows + block - 1) / block,
                            [&](std::int64_t b) {
                                const auto begin = b * block, count = std::min(block, rows - begin);
                                const auto cut = [&](auto span, std::int64_t width) {
                                    return span.subspan(static_cast<std::size_t>(begin * width),
                                                        static_cast<std::size_t>(count * width));
                                };
                                impl_->block(cut(queries, impl_->dim), cut(indices, impl_->k), cut(scores, impl_->k));
                            },
                            impl_->threads);
}

}  // namespace tg::matching
