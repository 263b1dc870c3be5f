#include "sampling.hpp"

#include "taskgalaxy/core/random.hpp"

namespace tg::generation {

std::int64_t sampled(const torch::Tensor& logits, const Sampling& sampling, std::uint64_t key, std::uint64_t position) {
    const auto [probabilities, tokens] = torch::sort(torch::softmax(logits.cpu() / sampling.temperature, 0), 0, true);
    const auto p = probabilities.contiguous();
    const auto* weights = p.data_ptr<float>();
    double kept = 0;
    std::int64_t count = 0;
    while (count < p.size(0) && (count == 0 || kept < sampling.top_p)) kept += static_cast<double>(weights[count++]);
    double left = random_unit(sampling.seed ^ mix64(key), position) * kept;
    std::int64_t chosen = 0;
    while (chosen + 1 < count && (left -= static_cast<double>(weights[chosen])) >= 0) ++chosen;
    return tokens[chosen].item<std::int64_t>();
}

}  // namespace tg::generation
