#include "taskgalaxy/nn/layers/unit.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::layers {

std::int64_t Parameter::elements() const {
    std::int64_t product = 1;
    for (const auto extent : shape) product *= extent;
    return product;
}

torch::Tensor Parameter::rows_of(const torch::Tensor& tensor, std::size_t index) const {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < index; ++i) first += pieces[i].rows;
    return tensor.narrow(0, first, pieces[index].rows);
}

std::int64_t Unit::elements() const {
    std::int64_t sum = 0;
    for (const auto& parameter : parameters) sum += parameter.elements();
    return sum;
}

void Unit::allocate(torch::Device device, torch::Dtype dtype) {
    for (auto& parameter : parameters)
        parameter.value = torch::empty(parameter.shape, torch::dtype(dtype).device(device));
}

std::string WeightNames::file_name(std::string_view ours) const {
    std::string name(ours);
    for (const auto& [from, to] : prefixes_)
        if (ours.starts_with(from)) {
            name = to + std::string(ours.substr(from.size()));
            break;
        }
    for (const auto& [from, to] : parts_)
        if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
    return name;
}

torch::Dtype torch_type(storage::TensorType type) {
    switch (type) {
        case storage::TensorType::f32: return torch::kFloat32;
        case storage::TensorType::f16: return torch::kFloat16;
        case storage::TensorType::bf16: return torch::kBFloat16;
        case storage::TensorType::f64: return torch::kFloat64;
        default: throw InputError(fmt::format("weights of type {} are not floats", storage::safetensors_name(type)));
    }
}

storage::TensorType tensor_type(torch::Dtype type) {
    switch (type) {
        case torch::kFloat32: return storage::TensorType::f32;
        case torch::kFloat16: return storage::TensorType::f16;
        case torch::kBFloat16: return storage::TensorType::bf16;
        case torch::kFloat64: return storage::TensorType::f64;
        default: throw InputError("a tensor that is not of floats cannot be written as weights");
    }
}

void read_parameter(const Parameter& parameter, const storage::SafetensorsFolder& files, const WeightNames& names,
                    torch::Tensor into) {
    const torch::NoGradGuard no_grad;
    if (parameter.begin) return parameter.begin(into);
    for (std::size_t i = 0; i < parameter.pieces.size(); ++i) {
        const auto name = names.file_name(parameter.pieces[i].name);
        const auto& info = files.info(name);
        auto target = parameter.rows_of(into, i);
        if (info.shape != target.sizes().vec())
            throw InputError(fmt::format("{}: tensor {} has shape {}, config.json asks for {}", files.path().string(),
                                         name, storage::shape_text(info.shape),
                                         storage::shape_text(target.sizes().vec())));
        auto loaded = torch::empty(info.shape, torch::dtype(torch_type(info.type)));
        files.read(name, {static_cast<std::byte*>(loaded.data_ptr()), static_cast<std::size_t>(info.bytes())});
        if (const auto& order = parameter.pieces[i].file_rows)
            loaded = loaded.index_select(0, torch::tensor(*order, torch::kInt64));
        target.copy_(loaded);
    }
}

void write_parameter(const Parameter& parameter,
                     const std::function<void(const FilePiece&, const torch::Tensor&)>& put) {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameter.pieces.size(); ++i) {
        const auto& piece = parameter.pieces[i];
        auto tensor = parameter.rows_of(parameter.value, i).to(torch::kCPU);
        if (piece.file_rows)
            tensor = torch::empty_like(tensor).index_copy_(0, torch::tensor(*piece.file_rows, torch::kInt64), tensor);
        put(piece, tensor);
    }
}

void write_tensor(storage::SafetensorsWriter& writer, const std::string& name, const torch::Tensor& tensor,
                  storage::TensorType type) {
    const auto stored = tensor.to(torch::kCPU, torch_type(type)).contiguous();
    writer.write(name, {static_cast<const std::byte*>(stored.data_ptr()),
                        static_cast<std::size_t>(stored.numel()) * stored.element_size()});
}

void read_unit(Unit& unit, const storage::SafetensorsFolder& files, const WeightNames& names) {
    for (auto& parameter : unit.parameters) read_parameter(parameter, files, names, parameter.value);
}

}  // namespace tg::layers
