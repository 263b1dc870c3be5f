// What a LLaVA's folder says besides its parts, for who writes it in another layout: filled as the folder is described
// (vlm_llava.cpp), read by the layouts (llava_layouts.cpp).
#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

#include "taskgalaxy/nn/layers/unit.hpp"

namespace tg::models {

struct LlavaFolder {
    enum class Layout { llava_hf, liuhaotian };
    Layout layout;
    nlohmann::json config;  // as read
    nlohmann::json tower;   // the configuration of its CLIP
    std::int64_t layer;     // of the tower, as hidden states are counted
    bool keeps_cls;
};

// Our names in liuhaotian's files, without the tower's; of a projector of so many linears.
std::vector<layers::WeightNames::Row> liuhaotian_names(int linears);

}  // namespace tg::models
