// The tiny LLaVA of tests/fixtures/vlm and its conversations, for tests of training.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "batch.hpp"
#include "samples.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "trainer.hpp"

namespace tg::fixture {

namespace fs = std::filesystem;

inline const fs::path folder = fs::path(TG_SOURCE_DIR) / "tests/fixtures/vlm";
inline const fs::path model = folder / "tiny-llava";

// A tensor of `where`/expected.safetensors.
inline torch::Tensor expected(const std::string& name, const fs::path& where = folder) {
    static std::map<fs::path, storage::SafetensorsFolder> all;
    const auto& files = all.try_emplace(where, where / "expected.safetensors").first->second;
    const auto& info = files.info(name);
    auto tensor = torch::empty(
        info.shape,
        torch::dtype(info.type == storage::TensorType::i64 ? torch::kInt64 : layers::torch_type(info.type)));
    files.read(name, {static_cast<std::byte*>(tensor.data_ptr()), static_cast<std::size_t>(info.bytes())});
    return tensor;
}

// Conversation `index` with its picture, cut at `max_length` positions.
inline training::EncodedSample sample(const models::VlmParts& parts, std::size_t index, std::int64_t max_length = 320) {
    static const auto rows = nlohmann::json::parse(std::ifstream(folder / "conversations.json"));
    static const auto pictures = expected("pictures");
    training::Sample s{std::to_string(index), rows[index]["has_image"].get<bool>() ? "picture" : "", {}};
    for (const auto& turn : rows[index]["turns"])
        s.turns.push_back({turn[0].get<std::string>(), turn[1].get<std::string>()});
    auto encoded = training::encode_sample(s, parts, 1, max_length);
    if (!s.image.empty()) encoded.pixels = pictures.narrow(0, static_cast<std::int64_t>(index), 1);
    return encoded;
}

// Samples [first, first + count) as micro-batches of at most `size`.
inline std::vector<training::MicroBatch> batches(const models::VlmParts& parts, std::size_t first, std::size_t count,
                                                 std::size_t size) {
    std::vector<training::EncodedSample> encoded;
    for (auto i = first; i < first + count; ++i) encoded.push_back(sample(parts, i));
    std::vector<training::MicroBatch> all;
    for (std::size_t begin = 0; begin < encoded.size(); begin += size) {
        std::vector<const training::EncodedSample*> rows;
        for (auto i = begin; i < std::min(begin + size, encoded.size()); ++i) rows.push_back(&encoded[i]);
        all.push_back(training::pack(rows));
    }
    return all;
}

// A folder of its own, removed at the end.
class Scratch {
public:
    explicit Scratch(const std::string& name)
        : path_(fs::temp_directory_path() / ("tg_" + name + "_" + std::to_string(::getpid()))) {
        fs::remove_all(path_);
        fs::create_directories(path_);
    }
    ~Scratch() { fs::remove_all(path_); }
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

}  // namespace tg::fixture
