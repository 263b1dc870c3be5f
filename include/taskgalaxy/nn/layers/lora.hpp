// Low-rank adapters beside frozen matrices (LoRA, Hu et al. 2021, arXiv 2106.09685): y = x W^T + alpha / rank * (x A^T)
// B^T, with A [rank, in] drawn as peft draws it and B [out, rank] zero at first. Matrices that are computed as one (q,
// k and v) keep an adapter each, as in the files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"

namespace tg::layers {

struct LoraOptions {
    int rank = 0;  // 0: none
    double alpha = 256;
    std::vector<std::string> targets;  // of lora_target_names(); empty: all of them
    std::uint64_t seed = 1;            // of the first values
    double scale() const { return alpha / rank; }
};
// q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; InternLM2's fused wqkv has one adapter and goes by any
// of the first three.
std::vector<std::string> lora_target_names();

// The adapters of one linear.
class LinearAdapters {
public:
    // Of those of `weight`'s pieces that are asked for; their parameters become part of `unit`.
    LinearAdapters(Unit& unit, Parameter& weight, const LoraOptions& options);
    void forward(const torch::Tensor& x, torch::Tensor& y) const;  // y += what they add
    void backward(const torch::Tensor& d_y, const torch::Tensor& x,
                  torch::Tensor& d_x);  // d_x += theirs; adds into their gradients
    bool belongs_to(const Parameter& weight) const { return &weight == weight_; }
    bool empty() const { return pairs_.empty(); }
    torch::Tensor merged() const;  // weight + what they add, fp32

private:
    struct Pair {
        Parameter *a, *b;
        std::int64_t first;  // of the weight's rows
    };
    Parameter* weight_;
    double scale_;
    std::vector<Pair> pairs_;
};

}  // namespace tg::layers
