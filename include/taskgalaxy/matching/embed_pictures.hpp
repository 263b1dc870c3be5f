// From pictures of a pool to vectors: threads read and decode ahead, the model computes. On CPUs every core takes the
// next few pictures as soon as it is done with the last, none waits for the others; a GPU takes whole batches, and the
// next is copied to it while it computes. No MPI; embed_images and its benchmark call it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "taskgalaxy/matching/settings.hpp"
#include "taskgalaxy/nn/models/dual_encoder.hpp"
#include "taskgalaxy/pool/decode_ahead.hpp"

namespace tg::matching {

struct PictureVectors {
    std::vector<float> rows;            // [N, D] unit rows, zeros where a picture failed
    std::vector<std::string> failures;  // [N] why; empty: fine
    pool::AheadFigures figures;
};

// How many pictures go through the model together. A vector's bits may depend on the place among them: parts are cut at
// multiples.
std::uint64_t pictures_at_once(const EmbedSettings& settings, torch::Device device);

// Threads that give pictures to the model: a GPU's copy and compute in turns.
int model_threads(torch::Device device);

// The N pictures `indices`. recipe: of the model's folder. Throws Stopped(stage) once a stop is requested.
PictureVectors embed_pictures(const models::DualEncoder& model, const pool::Pool& pool,
                              const std::vector<std::uint64_t>& indices, const pictures::ImageRecipe& recipe,
                              const EmbedSettings& settings, const char* stage);

}  // namespace tg::matching
