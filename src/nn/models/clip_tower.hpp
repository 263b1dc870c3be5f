// CLIP's vision transformer as the frozen eyes of a LLaVA: the hidden state of one layer, patches only unless
// `keep_cls`.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::models {

// `layer` as transformers counts hidden states: -2 is what enters the last block. Tensors
// PREFIXembeddings.patch_embedding.weight, ... Blocks behind the chosen one, and what follows them, are neither read
// nor computed.
std::unique_ptr<VisionTower> make_clip_tower(const nlohmann::json& vision_config, const std::string& where, int layer,
                                             bool keep_cls, const std::string& prefix);

}  // namespace tg::models
