#include "taskgalaxy/matching/embed_pictures.hpp"

#include <algorithm>

#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::matching {
namespace {

// A batch in hand, given back whatever happens: others wait for its memory.
class Held {
public:
    explicit Held(pool::DecodeAhead& ahead) : ahead_(ahead), batch_(ahead.next()) {}
    ~Held() { ahead_.release(batch_); }
    Held(const Held&) = delete;
    const pool::PixelBatch* operator->() const { return batch_; }

private:
    pool::DecodeAhead& ahead_;
    pool::PixelBatch* batch_;
};

}  // namespace

std::uint64_t pictures_at_once(const EmbedSettings& settings, torch::Device device) {
    const auto batch = static_cast<std::uint64_t>(settings.batch_on(device.is_cuda()));
    return device.is_cuda() ? batch : std::min(batch, static_cast<std::uint64_t>(models::DualEncoder::slice_size()));
}

int model_threads(torch::Device device) { return device.is_cuda() ? 2 : kernels::slice_threads(); }

PictureVectors embed_pictures(const models::DualEncoder& model, const pool::Pool& pool,
                              const std::vector<std::uint64_t>& indices, const pictures::ImageRecipe& recipe,
                              const EmbedSettings& settings, const char* stage) {
    const auto dim = static_cast<std::size_t>(model.dim());
    PictureVectors out;
    out.rows.resize(indices.size() * dim);
    out.failures.resize(indices.size());
    const auto device = model.device();
    const int threads = model_threads(device);
    pool::AheadOptions options;
    options.batch = pictures_at_once(settings, device);
    const auto ahead_of_model = static_cast<std::size_t>(settings.batch_on(device.is_cuda())) *
                                static_cast<std::size_t>(settings.batches_ahead) / options.batch;
    options.batches_ahead =
        ahead_of_model + static_cast<std::size_t>(threads) - 1;  // the model's threads hold one each
    options.threads = static_cast<std::size_t>(settings.decode_threads);
    options.bf16 = model.dtype() == torch::kBFloat16;
    std::vector<torch::Tensor> staging;
    options.allocate = [&](std::size_t bytes) {
        return reinterpret_cast<std::byte*>(
            staging.emplace_back(layers::staging_memory(bytes, device)).data_ptr<std::uint8_t>());
    };
    options.release = [](std::byte*) {};
    pool::DecodeAhead ahead(pool, indices, recipe, options);
    const auto batches = (indices.size() + options.batch - 1) / options.batch;
    kernels::for_each_slice(
        static_cast<std::int64_t>(batches),
        [&](std::int64_t) {  // whichever batch is the next
            const layers::OwnStream stream(device);
            const Held batch(ahead);
            // A part of a large model takes minutes: rather than run out of the warning time, it is begun anew next
            // time.
            if (stop_requested()) throw Stopped(stage);
            const auto count = batch->indices.size();
            const auto pixels =
                torch::from_blob(batch->pixels, {static_cast<std::int64_t>(count), 3, recipe.size, recipe.size},
                                 options.bf16 ? torch::kBFloat16 : torch::kFloat32);
            const auto vectors = model.encode_images(pixels).contiguous();
            for (std::size_t i = 0; i < count; ++i) {
                out.failures[batch->first + i] = batch->failures[i];
                if (batch->failures[i].empty())
                    std::copy_n(vectors.data_ptr<float>() + i * dim, dim,
                                out.rows.begin() + static_cast<std::ptrdiff_t>((batch->first + i) * dim));
            }
        },
        threads);
    out.figures = ahead.figures();
    return out;
}

}  // namespace tg::matching
