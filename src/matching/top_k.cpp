#include "taskgalaxy/matching/top_k.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fmt/format.h>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/threads.hpp"

namespace tg {
namespace {

// A block of scores of 192 x 1024 floats stays in the second-level cache between the product and the scan.
constexpr std::int64_t query_block = 192, type_block = 1024;

struct Nominee {
    float score;
    std::int32_t type;
};

// Nominees of one query: everything that may still be among the k best. When full, what has fallen behind the k-th best by more than
// the product's rounding error is dropped and the bar raised.
class Nominees {
public:
    void begin(int k, float slack) {
        k_ = static_cast<std::size_t>(k);
        slack_ = slack;
        bar_ = -std::numeric_limits<float>::infinity();
        list_.clear();
        list_.reserve(room());
    }
    float bar() const { return bar_; }
    void add(float score, std::int32_t type) {
        list_.push_back({score, type});
        if (list_.size() >= full_at_) prune();
    }
    std::vector<Nominee>& finish() {
        prune();
        return list_;
    }

private:
    std::size_t room() const { return 4 * k_ + 64; }
    void prune() {
        if (list_.size() >= k_) {
            std::nth_element(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), list_.end(), [](const Nominee& a, const Nominee& b) { return a.score > b.score; });
            bar_ = list_[k_ - 1].score - slack_;
            std::erase_if(list_, [this](const Nominee& n) { return n.score < bar_; });
        }
        full_at_ = std::max(room(), 2 * list_.size());  // many equal scores: let the list grow rather than prune at every step
    }

    std::size_t k_ = 1, full_at_ = 0;
    float slack_ = 0, bar_ = 0;
    std::vector<Nominee> list_;
};

// Adds those of `scores` that reach the bar. The common case, a whole stretch below it, is one vector comparison loop.
__attribute__((target_clones("avx2", "default"))) void scan(const float* scores, std::int64_t count, std::int64_t first, Nominees& nominees) {
    constexpr std::int64_t stretch = 32;
    std::int64_t i = 0;
    for (; i + stretch <= count; i += stretch) {
        const float bar = nominees.bar();
        int above = 0;
        for (std::int64_t j = 0; j < stretch; ++j) above |= scores[i + j] >= bar;
        if (!above) continue;
        for (std::int64_t j = 0; j < stretch; ++j)
            if (scores[i + j] >= nominees.bar()) nominees.add(scores[i + j], static_cast<std::int32_t>(first + i + j));
    }
    for (; i < count; ++i)
        if (scores[i] >= nominees.bar()) nominees.add(scores[i], static_cast<std::int32_t>(first + i));
}

// Eight running sums in a fixed order: vectorised, and the same bits on every machine with IEEE doubles.
double exact_dot(const float* a, const float* b, std::int64_t dim) {
    double sums[8] = {};
    std::int64_t d = 0;
    for (; d + 8 <= dim; d += 8)
        for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(a[d + lane]) * static_cast<double>(b[d + lane]);
    for (; d < dim; ++d) sums[d % 8] += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

float longest_row(std::span<const float> rows, std::int64_t dim) {
    double longest = 0;
    for (std::size_t at = 0; at < rows.size(); at += static_cast<std::size_t>(dim)) longest = std::max(longest, exact_dot(rows.data() + at, rows.data() + at, dim));
    return static_cast<float>(std::sqrt(longest));
}

}  // namespace

struct TopK::Impl {
    std::span<const float> types;
    std::int64_t dim, num_types;
    int k;
    std::size_t threads;
    float longest_type;

    void block(std::span<const float> queries, std::span<std::int64_t> indices, std::span<float> scores, std::vector<Nominees>& nominees, torch::Tensor& buffer) const {
        const auto rows = static_cast<std::int64_t>(queries.size()) / dim;
        const auto options = torch::TensorOptions().dtype(torch::kFloat32);
        const auto queries_QD = torch::from_blob(const_cast<float*>(queries.data()), {rows, dim}, options);
        // Of a sum of `dim` products (Higham): dim * 2^-24 times the lengths, on either side.
        const float slack = 2 * static_cast<float>(dim) * 0x1p-24f * longest_type * longest_row(queries, dim);
        for (std::int64_t q = 0; q < rows; ++q) nominees[static_cast<std::size_t>(q)].begin(k, slack);
        for (std::int64_t first = 0; first < num_types; first += type_block) {
            const auto count = std::min(type_block, num_types - first);
            const auto types_TD = torch::from_blob(const_cast<float*>(types.data()) + first * dim, {count, dim}, options);
            auto scores_QT = torch::from_blob(buffer.data_ptr<float>(), {rows, count}, options);
            at::mm_out(scores_QT, queries_QD, types_TD.t());
            for (std::int64_t q = 0; q < rows; ++q) scan(buffer.data_ptr<float>() + q * count, count, first, nominees[static_cast<std::size_t>(q)]);
        }
        std::vector<std::pair<double, std::int32_t>> exact;
        for (std::int64_t q = 0; q < rows; ++q) {
            exact.clear();
            for (const auto& nominee : nominees[static_cast<std::size_t>(q)].finish()) exact.emplace_back(-exact_dot(queries.data() + q * dim, types.data() + nominee.type * dim, dim), nominee.type);
            std::partial_sort(exact.begin(), exact.begin() + k, exact.end());
            for (int rank = 0; rank < k; ++rank) {
                indices[static_cast<std::size_t>(q * k + rank)] = exact[static_cast<std::size_t>(rank)].second;
                scores[static_cast<std::size_t>(q * k + rank)] = static_cast<float>(-exact[static_cast<std::size_t>(rank)].first);
            }
        }
    }
};

TopK::TopK(std::span<const float> types, std::int64_t dim, int k, int threads) {
    const auto num_types = static_cast<std::int64_t>(types.size()) / dim;
    if (k < 1 || k > num_types) throw UsageError(fmt::format("match.k = {}, but there are {} task types", k, num_types), fmt::format("choose 1 to {}", num_types));
    impl_ = std::make_unique<Impl>(Impl{types, dim, num_types, k, threads > 0 ? static_cast<std::size_t>(threads) : usable_cores(), longest_row(types, dim)});
}

TopK::~TopK() = default;
int TopK::k() const { return impl_->k; }

void TopK::operator()(std::span<const float> queries, std::span<std::int64_t> indices, std::span<float> scores) const {
    const auto rows = static_cast<std::int64_t>(queries.size()) / impl_->dim;
    const auto blocks = (rows + query_block - 1) / query_block;
    std::atomic<std::int64_t> next{0};
    // Each thread multiplies alone: the blocks are independent, and one thread a product wastes nothing on meeting.
    const auto work = [&] {
        const torch::NoGradGuard no_grad;
        at::set_num_threads(1);
        std::vector<Nominees> nominees(static_cast<std::size_t>(std::min(query_block, rows)));
        auto buffer = torch::empty({query_block * type_block});
        for (auto b = next++; b < blocks; b = next++) {
            const auto begin = b * query_block, count = std::min(query_block, rows - begin);
            const auto cut = [&](auto span, std::int64_t width) { return span.subspan(static_cast<std::size_t>(begin * width), static_cast<std::size_t>(count * width)); };
            impl_->block(cut(queries, impl_->dim), cut(indices, impl_->k), cut(scores, impl_->k), nominees, buffer);
        }
    };
    if (impl_->threads <= 1 || blocks <= 1) return work();
    std::vector<std::future<void>> done;
    ThreadPool pool(std::min(impl_->threads, static_cast<std::size_t>(blocks)));
    for (std::size_t t = 0; t < pool.size(); ++t) done.push_back(pool.submit(work));
    for (auto& future : done) future.get();
}

}  // namespace tg
