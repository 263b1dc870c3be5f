// Units: the tensors of a model that are needed at one moment (a decoder layer, the embeddings, a projector). Sharded
// training gathers, computes and lets go of one unit at a time; loading and export walk over them. Names are those of
// one layout of model files, which nn/models chooses; WeightNames turns them into the names of another.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/storage/safetensors.hpp"

namespace tg::layers {

// Some rows of a parameter, and the tensor in the weight files that holds them.
struct FilePiece {
    std::string name;
    std::int64_t rows = 0;
    // Our row i is the tensor's row (*file_rows)[i]; null: the same order.
    std::shared_ptr<const std::vector<std::int64_t>> file_rows{};
};

// Several file tensors that are computed as one (q, k and v) are one parameter: their rows lie behind each other.
struct Parameter {
    std::vector<std::int64_t> shape;
    std::vector<FilePiece> pieces;                           // in row order; their rows add up to shape[0]
    bool decays = true;                                      // matrices; norms and biases are left out of weight decay
    torch::Tensor value{};                                   // [shape]; the memory may be a view of a flat buffer
    torch::Tensor grad{};                                    // fp32 [shape]; backward adds into it; undefined: frozen
    std::function<void(const torch::Tensor& into)> begin{};  // its first values, where no file holds it (an adapter)

    std::int64_t elements() const;
    std::int64_t row_elements() const { return elements() / shape.front(); }
    // The rows of `tensor` (value, gradient, master copy: anything of this shape) that piece `index` holds.
    torch::Tensor rows_of(const torch::Tensor& tensor, std::size_t index) const;
};

struct Unit {
    std::string name;                    // "layer 3"
    std::deque<Parameter> parameters{};  // a deque: layers keep references
    Parameter& add(std::vector<std::int64_t> shape, std::vector<FilePiece> pieces, bool decays) {
        return parameters.emplace_back(Parameter{std::move(shape), std::move(pieces), decays});
    }
    std::int64_t elements() const;
    // Memory of its own for every value, uninitialised.
    void allocate(torch::Device device, torch::Dtype dtype);
};

// Our name -> name in the files: the first prefix that fits is replaced, then whatever of `parts` occurs behind it.
class WeightNames {
public:
    using Row = std::pair<std::string, std::string>;
    WeightNames() = default;
    explicit WeightNames(std::vector<Row> prefixes, std::vector<Row> parts = {})
        : prefixes_(std::move(prefixes)), parts_(std::move(parts)) {}
    std::string file_name(std::string_view ours) const;
    void put_first(Row row) { prefixes_.insert(prefixes_.begin(), std::move(row)); }

private:
    std::vector<Row> prefixes_, parts_;
};

// Fills `into` (any float type, any device, shape of `parameter`) from the files. Throws InputError for a missing or
// misshapen tensor.
void read_parameter(const Parameter& parameter, const storage::SafetensorsFolder& files, const WeightNames& names,
                    torch::Tensor into);
void read_unit(Unit& unit, const storage::SafetensorsFolder& files, const WeightNames& names);
// The tensors that `parameter` is read from, made of its value again: put(piece, tensor on the CPU in the file's row
// order).
void write_parameter(const Parameter& parameter,
                     const std::function<void(const FilePiece&, const torch::Tensor&)>& put);
// Writes a whole tensor in the number format `type`.
void write_tensor(storage::SafetensorsWriter& writer, const std::string& name, const torch::Tensor& tensor,
                  storage::TensorType type);

torch::Dtype torch_type(storage::TensorType type);  // of float tensors; throws InputError for others
storage::TensorType tensor_type(torch::Dtype type);

}  // namespace tg::layers
