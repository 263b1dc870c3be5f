// InternViT (OpenGVLab InternVL, modeling_intern_vit.py; transformers' InternVLVisionModel) as the frozen eyes of an
// InternVL: the hidden state of one layer without the class token, its neighbours joined by pixel shuffle.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

enum class InternVitFiles { opengvlab, transformers };  // whose names the configuration and the tensors have
// Four neighbours become one position of four times the channels. v1 leaves the grid transposed, which models of that
// age learnt.
enum class PixelShuffle { none, v1, v2 };

struct InternVitOptions {
    InternVitFiles files = InternVitFiles::opengvlab;
    int layer = -1;      // as hidden states are counted: -1 is the last block's output
    int image_size = 0;  // pixels a side that pictures will have; positions are resampled to it. 0: the configuration's
    PixelShuffle shuffle = PixelShuffle::none;
    bool keep_cls = false;  // not with a shuffle
};
// Tensors PREFIXembeddings..., PREFIXencoder...; those of blocks behind the chosen layer are neither read nor computed.
// Throws InputError naming a field of `vision_config` that is not understood.
std::unique_ptr<VisionTower> make_intern_vit(const nlohmann::json& vision_config, const std::string& where,
                                             const InternVitOptions& options, const std::string& prefix);

// [B, rows, columns, C] -> [B, rows/2 * columns/2, 4C].
torch::Tensor pixel_shuffled(const torch::Tensor& grid, PixelShuffle version);

}  // namespace tg::models
