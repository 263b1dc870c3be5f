// Models that put pictures and texts into one space: CLIP, SigLIP. Each kind is one file and one row in
// load_dual_encoder(). Letters of shapes: B items, S pixels a side, D = dim(). No MPI; a rank loads its own. On CPUs a
// batch is cut into slices of fixed size, each computed by one thread: the numbers do not depend on the number of
// threads, nor on the batch as long as batches begin at multiples of slice_size().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/text/tokenizer.hpp"

namespace tg::models {

class DualEncoder {
public:
    virtual ~DualEncoder() = default;
    // [B,3,S,S] of any float type, as ImageRecipe::read(folder) makes them -> [B,D] fp32 unit rows on the CPU.
    torch::Tensor encode_images(const torch::Tensor& pixels) const;
    // Token ids as tokenizer().encode() makes them -> [B,D] fp32 unit rows on the CPU. Texts of like length are best
    // put together.
    torch::Tensor encode_texts(std::span<const std::vector<std::int64_t>> ids) const;

    std::int64_t dim() const { return dim_; }
    int image_size() const { return image_size_; }
    const text::Tokenizer& tokenizer() const { return *tokenizer_; }
    torch::Device device() const { return device_; }
    torch::Dtype dtype() const { return dtype_; }
    static constexpr std::int64_t slice_size() { return 8; }

protected:
    DualEncoder(torch::Device device, torch::Dtype dtype) : device_(device), dtype_(dtype) {}
    // On device() in dtype(); [B,D], not normalised.
    virtual torch::Tensor image_features(const torch::Tensor& pixels) const = 0;
    // ids: [B,T] int64 on device(), padded with tokenizer().pad_id().
    virtual torch::Tensor text_features(const torch::Tensor& ids) const = 0;
    // T of a batch whose longest text has `longest` ids.
    virtual std::int64_t padded_length(std::int64_t longest) const { return longest; }

    std::int64_t dim_ = 0;
    int image_size_ = 0;
    std::unique_ptr<text::Tokenizer> tokenizer_;

private:
    torch::Tensor unit_rows(const torch::Tensor& features) const;
    torch::Tensor padded(std::span<const std::vector<std::int64_t>> ids) const;
    torch::Device device_;
    torch::Dtype dtype_;
};

// By `model_type` of config.json: "clip" or "siglip". Throws InputError: no such folder, unknown kind, weights that do
// not fit.
std::unique_ptr<DualEncoder> load_dual_encoder(const std::filesystem::path& folder, torch::Device device = torch::kCPU,
                                               torch::Dtype dtype = torch::kFloat32);

}  // namespace tg::models
