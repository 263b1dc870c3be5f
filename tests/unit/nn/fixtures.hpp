// What the scripts under tests/fixtures wrote, for the tests of this room.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"
#include "taskgalaxy/storage/safetensors.hpp"
#include "unit/nn/fixture_paths.hpp"

namespace tg::test {

// A tensor of fixtures/ROOM/expected.safetensors, as the reference library computed it.
inline torch::Tensor expected(const std::string& room, const std::string& name) {
    static std::map<std::string, storage::SafetensorsFolder> files;
    const auto& folder = files.try_emplace(room, fixtures(room) / "expected.safetensors").first->second;
    const auto& info = folder.info(name);
    auto tensor = torch::empty(
        info.shape,
        torch::dtype(info.type == storage::TensorType::i64 ? torch::kInt64 : layers::torch_type(info.type)));
    folder.read(name, std::span(static_cast<std::byte*>(tensor.data_ptr()), static_cast<std::size_t>(info.bytes())));
    return tensor;
}

inline double difference(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

inline std::vector<std::int64_t> list(const torch::Tensor& ids) {
    return {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + ids.numel()};
}

}  // namespace tg::test
