#include "converted_weights.hpp"

#include <algorithm>
#include <array>

namespace tg::models {

namespace {

// A table of `rows` rows: the first ones of `table`, and their mean where it has less.
torch::Tensor with_rows(const torch::Tensor& table, std::int64_t rows) {
    if (rows <= table.size(0)) return table.narrow(0, 0, rows);
    const auto mean = table.to(torch::kFloat32).mean(0, true).to(table.scalar_type());
    return torch::cat({table, mean.expand({rows - table.size(0), table.size(1)})});
}

bool is_vocabulary(const std::string& ours) {
    return ours.ends_with("embed_tokens.weight") || ours.ends_with("lm_head.weight");
}

}  // namespace

void add_specs(VlmParts& parts, const Target& target, std::vector<storage::TensorSpec>& specs) {
    for (const auto* unit : parts.units())
        for (const auto& parameter : unit->parameters)
            for (const auto& piece : parameter.pieces) {
                auto info = parts.files.info(parts.names.file_name(piece.name));
                if (is_vocabulary(piece.name)) info.shape[0] = target.rows;
                specs.push_back({target.names.file_name(piece.name), info});
            }
}

void write_units(VlmParts& parts, const Target& target, storage::SafetensorsWriter& writer) {
    for (auto* unit : parts.units()) {
        unit->allocate(torch::kCPU, torch::kFloat32);  // holds every bf16, fp16 and fp32 exactly
        layers::read_unit(*unit, parts.files, parts.names);
        for (auto& parameter : unit->parameters) {
            layers::write_parameter(parameter, [&](const layers::FilePiece& piece, const torch::Tensor& tensor) {
                layers::write_tensor(writer, target.names.file_name(piece.name),
                                     is_vocabulary(piece.name) ? with_rows(tensor, target.rows) : tensor,
                                     parts.files.info(parts.names.file_name(piece.name)).type);
            });
            parameter.value = torch::Tensor();
        }
    }
}

void copy_tensor(const storage::SafetensorsFolder& files, const std::string& name, storage::SafetensorsWriter& writer,
                 const std::string& as) {
    std::vector<std::byte> bytes(files.info(name).bytes());
    files.read(name, bytes);
    writer.write(as, bytes);
}

bool TowerCopies::takes(const std::string& name) const {
    if (!name.starts_with(from) || name.ends_with("position_ids")) return false;
    constexpr std::array tops{"embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm."};
    return std::any_of(tops.begin(), tops.end(),
                       [&](const char* top) { return std::string_view(name).substr(from.size()).starts_with(top); });
}

void TowerCopies::add_specs(std::vector<storage::TensorSpec>& specs) const {
    for (const auto& [name, info] : files.tensors())
        if (takes(name)) specs.push_back({to + name.substr(from.size()), info});
}

void TowerCopies::write(storage::SafetensorsWriter& writer) const {
    for (const auto& [name, info] : files.tensors())
        if (takes(name)) copy_tensor(files, name, writer, to + name.substr(from.size()));
}

TowerCopies tower_copies(const VlmParts& parts, std::string to) {
    const auto& names = parts.vision_files ? parts.vision_names : parts.names;
    return {parts.vision_files ? *parts.vision_files : parts.files, names.file_name("vision_tower.vision_model."),
            std::move(to)};
}

ConvertedModel finished(storage::SafetensorsWriter& writer, std::size_t tensors) {
    writer.flush();
    writer.publish();
    return {tensors, writer.bytes_written()};
}

}  // namespace tg::models
