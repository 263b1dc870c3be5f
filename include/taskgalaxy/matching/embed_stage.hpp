// The stages `embed_images` and `embed_texts`: pictures, and the leaves of the taxonomy, through one CLIP-like model,
// all ranks, by parts. Two stages, since another taxonomy must not cost the pictures' vectors. They write
//   image_embeddings.h5: f32 embedding [N, D], unit rows, zeros where a picture is unusable (row = row of pool.h5);
//     u8 failed [N]: 1 where a picture that ingest found usable could not be read now; attributes model, dtype, dim;
//   text_embeddings.h5: f32 embedding [T, D], unit rows; i64 type [T] (row of taxonomy.h5); attributes model, dtype,
//   dim.
// The same bits for any number of ranks: batches are cut by index, and inside them by the model (nn/dual_encoder.hpp).
#pragma once

#include <memory>

#include "taskgalaxy/matching/settings.hpp"
#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/taxonomy/duplicates.hpp"

namespace tg::matching {

std::unique_ptr<run::Stage> make_embed_images_stage(const EmbedSettings& settings, const pool::PoolSettings& pool);
std::unique_ptr<run::Stage> make_embed_texts_stage(const EmbedSettings& settings, const pool::PoolSettings& pool);

// The text tower alone, to compare names with each other. Loads the model; on one rank, any one thread.
taxonomy::Embedder make_text_embedder(const EmbedSettings& settings);

}  // namespace tg::matching
