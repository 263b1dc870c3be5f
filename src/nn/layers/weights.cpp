#include "taskgalaxy/nn/layers/weights.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"

namespace tg::layers {

torch::Tensor WeightReader::read(const std::string& name, std::initializer_list<std::int64_t> shape) {
    const std::vector<std::int64_t> wanted(shape);
    taken_.insert(name);
    if (!files_.has(name)) {
        problems_.push_back(fmt::format("{} is missing (shape {})", name, storage::shape_text(wanted)));
        return torch::zeros(wanted);
    }
    const auto& info = files_.info(name);
    if (info.shape != wanted) {
        problems_.push_back(fmt::format("{} has shape {} instead of {}", name, storage::shape_text(info.shape),
                                        storage::shape_text(wanted)));
        return torch::zeros(wanted);
    }
    auto stored = torch::empty(wanted, torch_type(info.type));
    files_.read(name, {static_cast<std::byte*>(stored.data_ptr()), info.bytes()});
    return stored.to(torch::kFloat32);
}

void WeightReader::finish(std::string_view model, std::string_view prefix) const {
    auto problems = problems_;
    for (const auto& [name, info] : files_.tensors())
        if (std::string_view(name).starts_with(prefix) && !taken_.contains(name))
            problems.push_back(fmt::format("{} {} has no place in the model", name, storage::shape_text(info.shape)));
    if (problems.empty()) return;
    constexpr std::size_t most = 200;  // a wholly foreign file would fill screens
    const auto shown = std::min(problems.size(), most);
    auto text = join({problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(shown)}, "; ");
    if (shown < problems.size()) text += fmt::format("; and {} more", problems.size() - shown);
    throw InputError(fmt::format("{}: the weights do not fit {}: {}", files_.path().string(), model, text),
                     "config.json and weights must come from the same model");
}

}  // namespace tg::layers
