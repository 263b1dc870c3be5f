#include "taskgalaxy/nn/models/dual_encoder.hpp"

#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "clip.hpp"
#include "siglip.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/heap.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"

namespace tg::models {

torch::Tensor DualEncoder::unit_rows(const torch::Tensor& features) const {
    const auto wide = features.to(torch::kFloat32);
    return wide.div(wide.norm(2, -1, true)).to(torch::kCPU);
}

torch::Tensor DualEncoder::encode_images(const torch::Tensor& pixels) const {
    const c10::InferenceMode inference;
    if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != image_size_ || pixels.size(3) != image_size_)
        throw std::logic_error(fmt::format("pixels of shape {} for a model of [B, 3, {}, {}]",
                                           fmt::join(pixels.sizes().vec(), "x"), image_size_, image_size_));
    if (device_.is_cuda()) return unit_rows(image_features(pixels.to(device_, dtype_, pixels.is_pinned())));
    auto out = torch::empty({pixels.size(0), dim_});
    kernels::for_each_slice((pixels.size(0) + slice_size() - 1) / slice_size(), [&](std::int64_t slice) {
        const c10::InferenceMode in_thread;
        const auto first = slice * slice_size(), count = std::min(slice_size(), pixels.size(0) - first);
        out.narrow(0, first, count).copy_(unit_rows(image_features(pixels.narrow(0, first, count).to(dtype_))));
    });
    return out;
}

torch::Tensor DualEncoder::padded(std::span<const std::vector<std::int64_t>> ids) const {
    std::size_t longest = 1;
    for (const auto& text : ids) longest = std::max(longest, text.size());
    auto rows = torch::full({static_cast<std::int64_t>(ids.size()), padded_length(static_cast<std::int64_t>(longest))},
                            tokenizer_->pad_id(), torch::kInt64);
    for (std::size_t i = 0; i < ids.size(); ++i)
        std::ranges::copy(ids[i], rows.data_ptr<std::int64_t>() + static_cast<std::int64_t>(i) * rows.size(1));
    return rows;
}

torch::Tensor DualEncoder::encode_texts(std::span<const std::vector<std::int64_t>> ids) const {
    const c10::InferenceMode inference;
    if (ids.empty()) return torch::empty({0, dim_});
    if (device_.is_cuda()) return unit_rows(text_features(padded(ids).to(device_)));
    const auto total = static_cast<std::int64_t>(ids.size());
    auto out = torch::empty({total, dim_});
    kernels::for_each_slice((total + slice_size() - 1) / slice_size(), [&](std::int64_t slice) {
        const c10::InferenceMode in_thread;
        const auto first = slice * slice_size(), count = std::min(slice_size(), total - first);
        out.narrow(0, first, count)
            .copy_(unit_rows(
                text_features(padded(ids.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))))));
    });
    return out;
}

std::unique_ptr<DualEncoder> load_dual_encoder(const std::filesystem::path& folder, torch::Device device,
                                               torch::Dtype dtype) {
    struct Kind {
        std::string_view model_type;
        std::unique_ptr<DualEncoder> (*load)(const std::filesystem::path&, torch::Device, torch::Dtype);
    };
    keep_freed_memory();
    constexpr std::array kinds{
        Kind{"clip",
             [](const std::filesystem::path& path, torch::Device on, torch::Dtype in) -> std::unique_ptr<DualEncoder> {
                 return std::make_unique<Clip>(path, on, in);
             }},
        Kind{"siglip",
             [](const std::filesystem::path& path, torch::Device on, torch::Dtype in) -> std::unique_ptr<DualEncoder> {
                 return std::make_unique<Siglip>(path, on, in);
             }},
    };
    const auto config = read_model_config(folder);
    const auto found = config.find("model_type");
    const auto type = found != config.end() && found->is_string() ? found->get<std::string>() : std::string();
    std::string known;
    for (const auto& kind : kinds) {
        if (kind.model_type == type) {
            auto model = kind.load(folder, device, dtype);
            if (device.is_cuda())
                torch::cuda::synchronize(device.index());  // streams that know nothing of this one may use the weights
            return model;
        }
        known += known.empty() ? kind.model_type : fmt::format(", {}", kind.model_type);
    }
    throw InputError(fmt::format("{}: model_type '{}' is no model of pictures and texts known here",
                                 (folder / "config.json").string(), type),
                     "known: " + known);
}

}  // namespace tg::models
