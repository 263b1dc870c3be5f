// Weights on disk: Hugging Face safetensors, one file or shards under model.safetensors.index.json. Reading is by pread
// of just the bytes that are asked for, so that a rank of a sharded run touches only its rows; writing streams, in any
// order, from any rank. Strict as the reference reader (safetensors, src/tensor.rs): u64 little-endian header length,
// JSON header, then the tensors without gap or overlap. Torch-free; weights.hpp makes torch tensors of it. Local, not
// collective.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tg::storage {

enum class TensorType { boolean, u8, i8, f8_e5m2, f8_e4m3, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };
std::size_t size_of(TensorType type);                // bytes an element
std::string_view safetensors_name(TensorType type);  // "F32", "BF16", ...

struct TensorInfo {
    TensorType type = TensorType::f32;
    std::vector<std::int64_t> shape;  // row-major
    std::uint64_t elements() const;
    std::uint64_t bytes() const { return elements() * size_of(type); }
    // Bytes of one index of the first dimension (of the whole tensor where it has no dimension).
    std::uint64_t row_bytes() const;
};
std::string shape_text(const std::vector<std::int64_t>& shape);  // "[768, 3, 32, 32]"

// All tensors of a model folder (or of one .safetensors file). Every header is checked here: throws InputError naming
// file and tensor for a lying length, overlapping or missing bytes, an unknown type, or an index that names what is not
// there. Reads are thread-safe.
class SafetensorsFolder {
public:
    explicit SafetensorsFolder(const std::filesystem::path& folder_or_file);
    ~SafetensorsFolder();
    SafetensorsFolder(SafetensorsFolder&&) noexcept;
    SafetensorsFolder& operator=(SafetensorsFolder&&) noexcept;

    const std::filesystem::path& path() const;
    const std::map<std::string, TensorInfo, std::less<>>& tensors() const;
    const std::vector<std::filesystem::path>& files() const;
    bool has(std::string_view name) const { return tensors().contains(name); }
    const TensorInfo& info(std::string_view name) const;  // throws InputError for an unknown name

    // The whole tensor; `into` has exactly info(name).bytes() bytes.
    void read(std::string_view name, std::span<std::byte> into) const;
    // Rows [first, first + count) of the first dimension; `into` has exactly count * row_bytes() bytes.
    void read_rows(std::string_view name, std::uint64_t first, std::uint64_t count, std::span<std::byte> into) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct TensorSpec {
    std::string name;
    TensorInfo info;
};

struct SafetensorsLayout {
    std::uint64_t shard_bytes = 5'000'000'000;  // a tensor is never cut; 5 GB is Hugging Face's default
    std::map<std::string, std::string> metadata{{"format", "pt"}};  // readers of transformers insist on "format"
    std::string stem = "model";                                     // of the files' names; peft wants adapter_model
};

// Writes model.safetensors, or model-0000i-of-0000N.safetensors and their index, into a folder. The list of tensors
// decides the layout, so several processes can fill the same files: one constructs with Part::whole or Part::first
// (which makes the files), then the others with Part::other; each writes its rows. When all are done and closed, the
// first calls publish(). Until then nothing under a final name has changed. Throws StorageError.
class SafetensorsWriter {
public:
    enum class Part { whole, first, other };
    SafetensorsWriter(const std::filesystem::path& folder, std::vector<TensorSpec> tensors,
                      SafetensorsLayout layout = {}, Part part = Part::whole);
    ~SafetensorsWriter();
    SafetensorsWriter(const SafetensorsWriter&) = delete;
    SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

    void write(std::string_view name, std::span<const std::byte> bytes);
    void write_rows(std::string_view name, std::uint64_t first, std::uint64_t count, std::span<const std::byte> bytes);
    // What this process wrote is on disk when this returns (fsync).
    void flush();
    // Gives the files their names, the index last, and removes weights that an earlier layout left in the folder. With
    // Part::whole throws std::logic_error if a byte was never written.
    void publish();
    std::uint64_t bytes_written() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::storage
