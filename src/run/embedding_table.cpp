#include "taskgalaxy/run/embedding_table.hpp"

#include "taskgalaxy/storage/dataset.hpp"

namespace tg::run {
namespace {

namespace embedding_sets {
constexpr storage::Dataset<float> embedding{"embedding"};
constexpr storage::Dataset<std::uint8_t> failed{"failed"};
constexpr storage::Dataset<std::int64_t> type{"type"};
}  // namespace embedding_sets

}  // namespace

void write_image_embeddings(storage::Hdf5File& file, std::span<const float> embedding, std::uint64_t dim,
                            const std::vector<std::uint8_t>& failed) {
    embedding_sets::embedding.write(file, embedding, {failed.size(), dim});
    embedding_sets::failed.write(file, failed);
}

void write_text_embeddings(storage::Hdf5File& file, std::span<const float> embedding, std::uint64_t dim,
                           const std::vector<std::int64_t>& type) {
    embedding_sets::embedding.write(file, embedding, {type.size(), dim});
    embedding_sets::type.write(file, type);
}

void write_embedding_attributes(storage::Hdf5File& file, std::string_view model, std::string_view dtype) {
    file.set_attribute("model", model);
    file.set_attribute("dtype", dtype);
}

EmbeddingTable::EmbeddingTable(const std::filesystem::path& embeddings_h5)
    : file_(storage::Hdf5File::open(embeddings_h5)),
      rows_(embedding_sets::embedding.rows(file_)),
      dim_(embedding_sets::embedding.width(file_)) {}

std::vector<float> EmbeddingTable::embedding(parallel::Slice rows) const {
    return embedding_sets::embedding.read(file_, rows.begin, rows.size());
}
std::vector<std::uint8_t> EmbeddingTable::failed() const { return embedding_sets::failed.read(file_); }
std::vector<std::int64_t> EmbeddingTable::types() const { return embedding_sets::type.read(file_); }

}  // namespace tg::run
