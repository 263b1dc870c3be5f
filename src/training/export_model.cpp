#include "export_model.hpp"

#include <set>

#include "taskgalaxy/nn/model_folder.hpp"

namespace tg {

namespace fs = std::filesystem;

void export_model(const VlmParts& parts, Trainer& trainer, const Communicator& ranks, const fs::path& folder) {
    std::unique_ptr<SafetensorsWriter> writer;
    std::set<std::string> written;
    together(ranks, [&] {
        if (!ranks.is_root()) return;
        fs::create_directories(folder);
        copy_side_files(parts, folder);
        std::vector<TensorSpec> specs;
        for (const auto& [name, info] : parts.files.tensors()) specs.push_back({name, info});
        writer = std::make_unique<SafetensorsWriter>(folder, std::move(specs));
    });
    auto& model = const_cast<VlmParts&>(parts);  // units() hands out mutable units; only their values are read here
    const auto units = model.units();
    for (std::size_t u = 0; u < units.size(); ++u) {
        auto& sharded = *trainer.units()[u];
        if (!sharded.trained()) continue;
        sharded.gather();
        together(ranks, [&] {
            if (!ranks.is_root()) return;
            for (const auto& parameter : units[u]->parameters)
                write_parameter(parameter, [&](const FilePiece& piece, const torch::Tensor& tensor) {
                    const auto name = parts.names.file_name(piece.name);
                    write_tensor(*writer, name, tensor, parts.files.info(name).type);
                    written.insert(name);
                });
        });
        sharded.release();
    }
    together(ranks, [&] {
        if (!ranks.is_root()) return;
        std::vector<std::byte> bytes;
        for (const auto& [name, info] : parts.files.tensors()) {
            if (written.contains(name)) continue;
            bytes.resize(info.bytes());
            parts.files.read(name, bytes);
            writer->write(name, bytes);
        }
        writer->flush();
        writer->publish();
    });
}

}  // namespace tg
