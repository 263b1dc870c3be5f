// Patch embedding as a matrix product: a convolution whose stride is as large as its kernel sees every pixel once.
#pragma once

#include <cstdint>

#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::layers {

// [B,3,S,S] -> [B, patches, 3*P*P], patches row by row; pixels past the last whole patch are left out, as the
// convolution does.
inline torch::Tensor patches_of(const torch::Tensor& pixels, std::int64_t patch) {
    const auto batch = pixels.size(0), side = pixels.size(2) / patch, used = side * patch;
    return pixels.narrow(2, 0, used)
        .narrow(3, 0, used)
        .reshape({batch, 3, side, patch, side, patch})
        .permute({0, 2, 4, 1, 3, 5})
        .reshape({batch, side * side, 3 * patch * patch});
}

}  // namespace tg::layers
