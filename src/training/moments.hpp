// AdamW and its two moments of one slice of parameters, kept as the job says: in fp32 beside the masters; in 8 bits,
// quantised block by block (Dettmers et al. 2022, arXiv 2110.02861); or in fp32 in the host's memory, from where they
// visit the GPU piece by piece.
#pragma once

#include <cstdint>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/training/settings.hpp"

namespace tg::training {

struct AdamW {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

// Elements [from, from + count) of a slice, decayed by so much.
struct DecayRange {
    std::int64_t from = 0, count = 0;
    double decay = 0;
};

// fp32 values as one byte each and one fp32 scale a block of 256. A code stands for a value of the paper's dynamic tree
// map, from -1 to 1 (or 0 to 1 for second moments), times the block's largest magnitude. Here the signed map has -1
// itself in place of its smallest negative value, so that what was read from codes becomes the same codes again, and a
// second moment above zero never becomes zero: it is a divisor.
class BlockCodes {
public:
    static constexpr std::int64_t block = 256;
    BlockCodes() = default;
    BlockCodes(std::int64_t size, torch::Device device, bool is_signed);
    torch::Tensor read(std::int64_t from, std::int64_t count) const;  // fp32 [count]; from: of a block's beginning
    void write(std::int64_t from,
               const torch::Tensor& values);  // what lies behind `values` in their last block becomes zero
    torch::Device device() const { return codes_.device(); }

private:
    torch::Tensor map_, borders_;    // [256], [255] between neighbours
    torch::Tensor codes_, largest_;  // uint8 [blocks, 256], fp32 [blocks]
    bool signed_ = true;
};

class Moments {
public:
    Moments() = default;
    Moments(std::int64_t size, torch::Device device, MomentFormat format);  // zero
    // master, gradient: fp32 [size] on the device. Step from 1, as torch.optim.AdamW.
    void step(const torch::Tensor& master, const torch::Tensor& gradient, const std::vector<DecayRange>& ranges,
              const AdamW& adam, double rate, std::int64_t number);

    // fp32 of the first `count` elements, for checkpoints; a view with fp32 and host.
    torch::Tensor first(std::int64_t count) const;
    torch::Tensor second(std::int64_t count) const;
    void set_first(const torch::Tensor& values);
    void set_second(const torch::Tensor& values);
    std::int64_t device_bytes() const { return bytes_of(size_, format_, first_.defined() && first_.is_pinned()); }
    // On the device, of so many elements; `host_apart`: the host's memory is not the device's.
    static std::int64_t bytes_of(std::int64_t size, MomentFormat format, bool host_apart);

private:
    MomentFormat format_ = MomentFormat::fp32;
    std::int64_t size_ = 0;
    torch::Tensor first_, second_;  // [size] fp32
    BlockCodes first_codes_, second_codes_;
};

}  // namespace tg::training
