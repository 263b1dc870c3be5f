// image_embeddings.h5 and text_embeddings.h5, made by `embed_images` and `embed_texts` with one CLIP or SigLIP model.
//   embedding   f32 [N,D]   unit vectors: of pictures in the order of pool.h5 (zeros where there is none), of task
//                           types in the order of `type`
//   failed      u8 [N]      pictures alone: 1 where a picture that ingest found usable could no longer be read
//   type        i64 [N]     task types alone: rows of taxonomy.h5 (its leaves), ascending
//   attributes   model (its folder), dtype ("float32", "bfloat16"); fingerprint
// A part holds its rows of them. Readers use HDF5: main thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "taskgalaxy/parallel/partition.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::run {

// Of one part, or of a whole file made by one process. `embedding` [N,dim] has as many rows as the other column.
void write_image_embeddings(storage::Hdf5File& file, std::span<const float> embedding, std::uint64_t dim,
                            const std::vector<std::uint8_t>& failed);
void write_text_embeddings(storage::Hdf5File& file, std::span<const float> embedding, std::uint64_t dim,
                           const std::vector<std::int64_t>& type);
// Of the whole file. Collective on files made together.
void write_embedding_attributes(storage::Hdf5File& file, std::string_view model, std::string_view dtype);

// Either of the two, opened.
class EmbeddingTable {
public:
    explicit EmbeddingTable(const std::filesystem::path& embeddings_h5);

    const std::filesystem::path& path() const { return file_.path(); }
    std::uint64_t rows() const { return rows_; }
    std::uint64_t dim() const { return dim_; }
    std::vector<float> embedding(parallel::Slice rows) const;  // [rows,dim]
    std::vector<std::uint8_t> failed() const;                  // of pictures
    std::vector<std::int64_t> types() const;                   // of task types

private:
    storage::Hdf5File file_;
    std::uint64_t rows_ = 0, dim_ = 0;
};

}  // namespace tg::run
