// HDF5 files as the program uses them: typed datasets of any rank, rows of them, text columns, attributes; Fletcher-32
// on every dataset. A file is written once, under a temporary name, and published by rename (see publish.hpp): never
// updated in place. Calls of several threads take turns; collective ones belong to the main thread. Every failure
// throws StorageError naming file and dataset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::storage {

// bf16 has no HDF5 type of its own: it is stored as its 16 bits (uint16) under attribute "dtype" = "bfloat16" by who
// writes it.
enum class Hdf5Type { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };

template <class T> constexpr Hdf5Type hdf5_type() {
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_same_v<U, float>) return Hdf5Type::f32;
    else if constexpr (std::is_same_v<U, double>) return Hdf5Type::f64;
    else if constexpr (std::is_same_v<U, std::byte>) return Hdf5Type::u8;
    else {
        static_assert(std::is_integral_v<U> && !std::is_same_v<U, bool>, "no HDF5 type for this element");
        constexpr bool is_signed = std::is_signed_v<U>;
        if constexpr (sizeof(U) == 1) return is_signed ? Hdf5Type::i8 : Hdf5Type::u8;
        else if constexpr (sizeof(U) == 2) return is_signed ? Hdf5Type::i16 : Hdf5Type::u16;
        else if constexpr (sizeof(U) == 4) return is_signed ? Hdf5Type::i32 : Hdf5Type::u32;
        else return is_signed ? Hdf5Type::i64 : Hdf5Type::u64;
    }
}

struct DatasetInfo {
    std::string name;  // full path without the leading slash
    Hdf5Type type;
    std::vector<std::uint64_t> shape;

    template <class Self> static auto fields(Self& self) { return std::tie(self.name, self.type, self.shape); }
};

class Hdf5File {
public:
    // A new file of this process alone, held in memory until close(); an existing one is replaced then.
    static Hdf5File create(const std::filesystem::path& path);
    // A new file written by all ranks of `ranks` together: create, datasets, attributes, write_rows and close are
    // collective.
    static Hdf5File create_together(const std::filesystem::path& path, const parallel::Communicator& ranks);
    // A new file of this process, for make_flat_dataset(): only its small parts pass through here, its metadata carries
    // checksums.
    static Hdf5File create_flat(const std::filesystem::path& path);
    // Read only; any number of ranks may have it open.
    static Hdf5File open(const std::filesystem::path& path);

    ~Hdf5File();
    Hdf5File(Hdf5File&&) noexcept;
    Hdf5File& operator=(Hdf5File&&) noexcept;

    // Writes out and closes; errors throw here. A file that is not closed is not complete: the destructor drops it.
    void close();
    const std::filesystem::path& path() const;

    bool has(std::string_view name) const;
    std::vector<DatasetInfo> datasets() const;  // all, in name order
    std::vector<std::uint64_t> shape(std::string_view name) const;
    std::uint64_t rows(std::string_view name) const { return shape(name).front(); }

    // Groups on the way ("a/b/c") are made. `rows_per_chunk` 0 picks chunks of about 1 MiB.
    void make_dataset(std::string_view name, Hdf5Type type, std::span<const std::uint64_t> shape,
                      std::uint64_t rows_per_chunk = 0);
    // Of a file of create_flat(): one piece of it without content or checksum. Returns the byte where it begins: once
    // the file is closed, any number of processes may write there by themselves.
    std::uint64_t make_flat_dataset(std::string_view name, Hdf5Type type, std::span<const std::uint64_t> shape);
    template <class T> void write(std::string_view name, std::span<const T> values,
                                  std::span<const std::uint64_t> shape, std::uint64_t rows_per_chunk = 0) {
        make_dataset(name, hdf5_type<T>(), shape, rows_per_chunk);
        write_rows(name, 0, shape.empty() ? 0 : shape[0], values);
    }
    template <class T> void write(std::string_view name, const std::vector<T>& values) {
        const std::uint64_t shape[] = {values.size()};
        write(name, std::span<const T>(values), shape);
    }
    // Rows [first, first + count) of an existing dataset. Collective on files made together (ranks without rows pass
    // count 0).
    template <class T>
    void write_rows(std::string_view name, std::uint64_t first, std::uint64_t count, std::span<const T> values) {
        write_raw(name, first, count, hdf5_type<T>(), std::as_bytes(values));
    }

    template <class T> std::vector<T> read(std::string_view name) const {
        const auto all = shape(name);
        return read_rows<T>(name, 0, all.empty() ? 1 : all[0]);
    }
    template <class T> std::vector<T> read_rows(std::string_view name, std::uint64_t first, std::uint64_t count) const {
        std::vector<T> values(count * row_elements(name));
        read_raw(name, first, count, hdf5_type<T>(), std::as_writable_bytes(std::span(values)));
        return values;
    }
    // Into memory of the caller, for streams that reuse a buffer.
    template <class T>
    void read_rows_into(std::string_view name, std::uint64_t first, std::uint64_t count, std::span<T> values) const {
        read_raw(name, first, count, hdf5_type<T>(), std::as_writable_bytes(values));
    }
    std::uint64_t row_elements(std::string_view name) const;  // product of the shape without the first dimension

    // A column of texts: group NAME with `bytes` (all of them, joined) and `lengths` (u32 a row). Two such columns are
    // joined by joining their datasets, which is why there are no offsets. Collective on files made together: every
    // rank gives the texts, one `writes` them.
    void write_texts(std::string_view name, const std::vector<std::string>& texts, bool writes = true);
    std::vector<std::string> read_texts(std::string_view name) const;

    void set_attribute(std::string_view name, std::string_view text);
    void set_attribute(std::string_view name, std::int64_t value);
    void set_attribute(std::string_view name, double value);
    void set_attribute(std::string_view name, const char* text) { set_attribute(name, std::string_view(text)); }
    template <class T>
    requires std::is_integral_v<T>
    void set_attribute(std::string_view name, T value) { set_attribute(name, static_cast<std::int64_t>(value)); }
    bool has_attribute(std::string_view name) const;
    std::string text_attribute(std::string_view name) const;
    std::int64_t int_attribute(std::string_view name) const;
    double double_attribute(std::string_view name) const;

private:
    struct Impl;
    explicit Hdf5File(std::unique_ptr<Impl> impl);
    void write_raw(std::string_view name, std::uint64_t first, std::uint64_t count, Hdf5Type type,
                   std::span<const std::byte> values);
    void read_raw(std::string_view name, std::uint64_t first, std::uint64_t count, Hdf5Type type,
                  std::span<std::byte> values) const;
    std::unique_ptr<Impl> impl_;
};

// A text column read once, rows looked up in place (the reader of big tables: one allocation instead of a million).
class TextColumn {
public:
    TextColumn() = default;
    TextColumn(const Hdf5File& file, std::string_view name);
    std::size_t size() const { return offsets_.empty() ? 0 : offsets_.size() - 1; }
    std::string_view operator[](std::size_t row) const {
        return std::string_view(bytes_).substr(offsets_[row], offsets_[row + 1] - offsets_[row]);
    }

private:
    std::string bytes_;
    std::vector<std::uint64_t> offsets_;  // size() + 1
};

}  // namespace tg::storage
