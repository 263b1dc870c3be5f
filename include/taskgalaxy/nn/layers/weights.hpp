// Reads a model's tensors one after the other and remembers everything that does not fit, so that a wrong folder is
// told in one message with all its missing, extra and misshapen tensors instead of one at a time.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/storage/safetensors.hpp"

namespace tg::layers {

class WeightReader {
public:
    // Tensors are cast to `dtype` and put on `device`.
    WeightReader(const storage::SafetensorsFolder& files, torch::Device device, torch::Dtype dtype)
        : files_(files), device_(device), dtype_(dtype) {}

    // In fp32 on the CPU, as stored; to() makes the final form after rows were joined or scaled. Zeros where it does
    // not fit.
    torch::Tensor read(const std::string& name, std::initializer_list<std::int64_t> shape);
    torch::Tensor to(const torch::Tensor& tensor) const { return tensor.to(device_, dtype_).contiguous(); }
    torch::Tensor operator()(const std::string& name, std::initializer_list<std::int64_t> shape) {
        return to(read(name, shape));
    }
    // A tensor that files may hold and the model does not need (buffers, scalars of the loss).
    void ignore(const std::string& name) { taken_.insert(name); }
    // Throws InputError that lists all that was missing or misshapen, and every tensor (under `prefix`) that nobody
    // took.
    void finish(std::string_view model, std::string_view prefix = "") const;

private:
    const storage::SafetensorsFolder& files_;
    torch::Device device_;
    torch::Dtype dtype_;
    std::set<std::string, std::less<>> taken_;
    std::vector<std::string> problems_;
};

}  // namespace tg::layers
