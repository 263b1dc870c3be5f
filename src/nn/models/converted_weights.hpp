// A model's tensors written under other names, one unit in memory at a time: what the layouts of convert.cpp share. A
// writer needs all specifications (add_specs()) before the first tensor.
#pragma once

#include <string>
#include <vector>

#include "taskgalaxy/nn/models/convert.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "taskgalaxy/storage/safetensors.hpp"

namespace tg::models {

// Where the tensors of the units go.
struct Target {
    layers::WeightNames names;
    std::int64_t rows;  // of the embeddings and the head: the first ones of theirs, and the mean where they have less
};
void add_specs(VlmParts& parts, const Target& target, std::vector<storage::TensorSpec>& specs);
void write_units(VlmParts& parts, const Target& target, storage::SafetensorsWriter& writer);

void copy_tensor(const storage::SafetensorsFolder& files, const std::string& name, storage::SafetensorsWriter& writer,
                 const std::string& as);

// The tower's tensors byte by byte: those whose names begin with `from` go under `to`.
struct TowerCopies {
    const storage::SafetensorsFolder& files;
    std::string from, to;
    void add_specs(std::vector<storage::TensorSpec>& specs) const;
    void write(storage::SafetensorsWriter& writer) const;

private:
    bool takes(const std::string& name) const;
};
TowerCopies tower_copies(const VlmParts& parts, std::string to);

// Publishes what was written.
ConvertedModel finished(storage::SafetensorsWriter& writer, std::size_t tensors);

}  // namespace tg::models
