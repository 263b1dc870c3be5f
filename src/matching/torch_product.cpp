// Matrix products by torch (MKL, oneDNN): for processors without AVX2, and in bf16 for those with AMX. A tile of scores
// stays in the second-level cache between the product and the scan.
#include <algorithm>

#include "product.hpp"

#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::matching {
namespace {

constexpr std::int64_t query_block = 192, type_block = 1024;

// Adds those of `scores`, each wrong by at most `error`, that may reach the bar. The common case, a whole stretch below
// it, is one vector comparison loop.
void scan(const float* scores, std::int64_t count, std::int64_t first, float error, Nominees& nominees) {
    constexpr std::int64_t stretch = 32;
    const auto offer_one = [&](std::int64_t i) {
        if (scores[i] + error >= nominees.bar())
            nominees.add(scores[i] - error, scores[i] + error, static_cast<std::int32_t>(first + i));
    };
    std::int64_t i = 0;
    for (; i + stretch <= count; i += stretch) {
        const float bar = nominees.bar();
        int above = 0;
        for (std::int64_t j = 0; j < stretch; ++j) above |= scores[i + j] + error >= bar;
        if (!above) continue;
        for (std::int64_t j = 0; j < stretch; ++j) offer_one(i + j);
    }
    for (; i < count; ++i) offer_one(i);
}

class TorchProduct final : public Product {
public:
    TorchProduct(std::span<const float> types, std::int64_t dim, bool bf16)
        : dim_(dim), num_types_(static_cast<std::int64_t>(types.size()) / dim), bf16_(bf16) {
        const auto whole = torch::from_blob(const_cast<float*>(types.data()), {num_types_, dim}, torch::kFloat32);
        types_TD_ = bf16 ? whole.to(torch::kBFloat16) : whole;
        longest_type_ = whole.norm(2, -1).max().item<float>();
        type_error_ = bf16 ? (whole - types_TD_.to(torch::kFloat32)).norm(2, -1).max().item<float>() : 0.0f;
    }

    std::int64_t block() const override { return query_block; }
    std::string_view name() const override { return bf16_ ? "bf16" : "fp32"; }

    void offer(std::span<const float> queries, int k, std::span<Nominees> nominees) const override {
        const c10::InferenceMode inference;
        const auto rows = static_cast<std::int64_t>(queries.size()) / dim_;
        const auto whole = torch::from_blob(const_cast<float*>(queries.data()), {rows, dim_}, torch::kFloat32);
        const auto queries_QD = bf16_ ? whole.to(torch::kBFloat16) : whole;
        const auto lengths = whole.norm(2, -1),
                   lost = bf16_ ? (whole - queries_QD.to(torch::kFloat32)).norm(2, -1) : torch::zeros({rows});
        std::vector<float> errors(static_cast<std::size_t>(rows));
        for (std::int64_t q = 0; q < rows; ++q) {
            const float length = lengths.data_ptr<float>()[q], gone = lost.data_ptr<float>()[q];
            // Rounded inputs (Cauchy-Schwarz), `dim` roundings of a float sum (Higham), and in bf16 the rounding of the
            // score itself.
            errors[static_cast<std::size_t>(q)] =
                gone * longest_type_ + (length + gone) * type_error_ +
                (static_cast<float>(dim_) * 0x1p-24f + (bf16_ ? 0x1p-9f : 0.0f)) * length * longest_type_;
            nominees[static_cast<std::size_t>(q)].begin(k);
        }
        for (std::int64_t first = 0; first < num_types_; first += type_block) {
            const auto count = std::min(type_block, num_types_ - first);
            const auto scores_QT = at::mm(queries_QD, types_TD_.narrow(0, first, count).t()).to(torch::kFloat32);
            for (std::int64_t q = 0; q < rows; ++q)
                scan(scores_QT.data_ptr<float>() + q * count, count, first, errors[static_cast<std::size_t>(q)],
                     nominees[static_cast<std::size_t>(q)]);
        }
    }

private:
    std::int64_t dim_, num_types_;
    bool bf16_;
    float longest_type_ = 0, type_error_ = 0;
    torch::Tensor types_TD_;
};

}  // namespace

std::unique_ptr<Product> make_torch_product(std::span<const float> types, std::int64_t dim, bool bf16) {
    return std::make_unique<TorchProduct>(types, dim, bf16);
}

}  // namespace tg::matching
