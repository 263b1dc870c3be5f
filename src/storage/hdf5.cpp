#include "taskgalaxy/storage/hdf5.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <hdf5.h>
#include <array>
#include <mutex>
#include <numeric>
#include <utility>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "write_file.hpp"

namespace tg::storage {
namespace {

// The library is not thread-safe: calls take turns. Every public function that reaches it begins with one of these. A
// collective call holds it until the other ranks have come, which a short read of another thread on their side delays,
// never prevents.
class LibraryTurn {
    static std::recursive_mutex& mutex() {
        static std::recursive_mutex only;
        return only;
    }
    std::lock_guard<std::recursive_mutex> lock_{mutex()};
};

// An HDF5 identifier that closes itself.
class Id {
public:
    Id() = default;
    Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
    ~Id() { reset(); }
    Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Id& operator=(Id&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(close_, other.close_);
        return *this;
    }
    operator hid_t() const { return id_; }
    // Closing a file or dataset writes: the caller looks at the result.
    herr_t reset() {
        const auto id = std::exchange(id_, -1);
        return id >= 0 ? close_(id) : 0;
    }

private:
    hid_t id_ = -1;
    herr_t (*close_)(hid_t) = nullptr;
};

hid_t native_type(Hdf5Type type) {
    switch (type) {
        case Hdf5Type::i8: return H5T_NATIVE_INT8;
        case Hdf5Type::u8: return H5T_NATIVE_UINT8;
        case Hdf5Type::i16: return H5T_NATIVE_INT16;
        case Hdf5Type::u16: return H5T_NATIVE_UINT16;
        case Hdf5Type::i32: return H5T_NATIVE_INT32;
        case Hdf5Type::u32: return H5T_NATIVE_UINT32;
        case Hdf5Type::i64: return H5T_NATIVE_INT64;
        case Hdf5Type::u64: return H5T_NATIVE_UINT64;
        case Hdf5Type::f32: return H5T_NATIVE_FLOAT;
        case Hdf5Type::f64: return H5T_NATIVE_DOUBLE;
    }
    return -1;
}

std::size_t size_of(Hdf5Type type) { return H5Tget_size(native_type(type)); }

constexpr std::array all_types{Hdf5Type::i8,  Hdf5Type::u8,  Hdf5Type::i16, Hdf5Type::u16, Hdf5Type::i32,
                               Hdf5Type::u32, Hdf5Type::i64, Hdf5Type::u64, Hdf5Type::f32, Hdf5Type::f64};

// The innermost message of HDF5's error stack: what the disk or the library said.
std::string library_reason() {
    std::string reason;
    H5Ewalk2(
        H5E_DEFAULT, H5E_WALK_UPWARD,
        [](unsigned, const H5E_error2_t* error, void* out) -> herr_t {
            auto& text = *static_cast<std::string*>(out);
            if (text.empty() && error->desc) text = error->desc;
            return 0;
        },
        &reason);
    return reason.empty() ? "no reason given" : reason;
}

constexpr auto lock_hint = "on file systems without locks set HDF5_USE_FILE_LOCKING=FALSE";

void quiet_errors() {
    static const bool once = [] {
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // its stack trace is turned into one line by library_reason()
        return true;
    }();
    (void)once;
}

}  // namespace

struct Hdf5File::Impl {
    std::filesystem::path path;
    Id file;
    Id transfer;  // collective on files made together
    bool together = false;
    bool writing = false;
    bool in_memory = false;  // the bytes go to the disk in close()

    // An empty file opened through `access`.
    static std::unique_ptr<Impl> created(const std::filesystem::path& path, hid_t access) {
        auto impl = std::make_unique<Impl>();
        impl->path = path;
        impl->writing = true;
        impl->file = {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose};
        if (impl->file < 0) impl->fail("creating", {}, lock_hint);
        return impl;
    }

    [[noreturn]] void fail(std::string_view doing, std::string_view name = {}, const std::string& fix = {}) const {
        throw StorageError(fmt::format("{}{}{}: {} failed ({})", path.string(), name.empty() ? "" : " /", name, doing,
                                       excerpt_of(library_reason())),
                           fix);
    }
    static std::string excerpt_of(const std::string& reason) { return reason.substr(0, 200); }

    Id checked(hid_t id, herr_t (*close)(hid_t), std::string_view doing, std::string_view name = {}) const {
        if (id < 0) fail(doing, name);
        return {id, close};
    }
    Id dataset(std::string_view name) const {
        return checked(H5Dopen2(file, std::string(name).c_str(), H5P_DEFAULT), H5Dclose, "opening the dataset", name);
    }

    std::vector<hsize_t> extent(hid_t space) const {
        std::vector<hsize_t> shape(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
        H5Sget_simple_extent_dims(space, shape.data(), nullptr);
        return shape;
    }

    // Selects rows [first, first + count) of `space` and returns the memory space for them.
    Id select_rows(hid_t space, std::uint64_t first, std::uint64_t count, std::string_view name) const {
        auto shape = extent(space);
        if (shape.empty()) throw StorageError(fmt::format("{} /{}: a dataset without rows", path.string(), name));
        if (first + count > shape[0])
            throw StorageError(fmt::format("{} /{}: rows {} to {} asked for, {} there", path.string(), name, first,
                                           first + count, shape[0]));
        std::vector<hsize_t> start(shape.size(), 0);
        start[0] = first;
        shape[0] = count;
        Id memory = checked(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose,
                            "selecting rows", name);
        if (count == 0) {
            H5Sselect_none(space);
            H5Sselect_none(memory);
        } else if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, shape.data(), nullptr) < 0) {
            fail("selecting rows", name);
        }
        return memory;
    }
};

Hdf5File::Hdf5File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

Hdf5File::~Hdf5File() {
    if (!impl_) return;
    const LibraryTurn turn;
    if (impl_->file.reset() < 0 && impl_->writing)
        log::error("{}: closing failed ({})", impl_->path.string(), library_reason());
    impl_.reset();
}

// Made in memory and written by ourselves: when the disk is full, HDF5 1.10 cannot get rid of an open file any more and
// crashes when the process ends. Files of one process are small (parts, tables, records).
Hdf5File Hdf5File::create(const std::filesystem::path& path) {
    const LibraryTurn turn;
    quiet_errors();
    const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fapl_core(access, std::size_t{1} << 20, false);
    auto impl = Impl::created(path, access);
    impl->in_memory = true;
    return Hdf5File(std::move(impl));
}

Hdf5File Hdf5File::create_together(const std::filesystem::path& path, const parallel::Communicator& ranks) {
    if (ranks.native() == nullptr) return create(path);
    const LibraryTurn turn;
    quiet_errors();
    const CountedFileWork count;
    const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fapl_mpio(access, *static_cast<const MPI_Comm*>(ranks.native()), MPI_INFO_NULL);
    H5Pset_coll_metadata_write(access, true);
    H5Pset_alignment(access, 1 << 20, 1 << 20);  // big chunks begin on stripe borders of parallel file systems
    auto impl = Impl::created(path, access);
    impl->together = true;
    impl->transfer = {H5Pcreate(H5P_DATASET_XFER), H5Pclose};
    H5Pset_dxpl_mpio(impl->transfer, H5FD_MPIO_COLLECTIVE);
    return Hdf5File(std::move(impl));
}

Hdf5File Hdf5File::create_flat(const std::filesystem::path& path) {
    const LibraryTurn turn;
    quiet_errors();
    const CountedFileWork count;
    const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    H5Pset_alignment(access, 1 << 20, 1 << 20);
    return Hdf5File(Impl::created(path, access));
}

Hdf5File Hdf5File::open(const std::filesystem::path& path) {
    const LibraryTurn turn;
    quiet_errors();
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    std::error_code error;
    if (!std::filesystem::exists(path, error))
        throw StorageError(path.string() + ": no such file", "an earlier stage writes it");
    const CountedFileWork count;
    impl->file = {H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose};
    if (impl->file < 0) impl->fail("opening", {}, std::string("the file is damaged or not HDF5; ") + lock_hint);
    return Hdf5File(std::move(impl));
}

void Hdf5File::close() {
    const LibraryTurn turn;
    if (impl_->writing && H5Fflush(impl_->file, H5F_SCOPE_GLOBAL) < 0) impl_->fail("flushing", {}, "is the disk full?");
    std::vector<char> image;
    if (impl_->in_memory) {
        const auto size = H5Fget_file_image(impl_->file, nullptr, 0);
        if (size < 0) impl_->fail("taking the file's bytes");
        image.resize(static_cast<std::size_t>(size));
        if (H5Fget_file_image(impl_->file, image.data(), image.size()) != size) impl_->fail("taking the file's bytes");
    }
    if (impl_->file.reset() < 0) impl_->fail("closing", {}, "is the disk full?");
    if (impl_->in_memory) write_whole_file(impl_->path, {image.data(), image.size()});
}

const std::filesystem::path& Hdf5File::path() const { return impl_->path; }

bool Hdf5File::has(std::string_view name) const {
    const LibraryTurn turn;
    // Every step of the path must exist, or H5Lexists reports an error instead of "no".
    for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
        const std::string step(name.substr(0, end));
        if (H5Lexists(impl_->file, step.c_str(), H5P_DEFAULT) <= 0) return false;
        if (end == name.npos) return true;
    }
}

std::vector<DatasetInfo> Hdf5File::datasets() const {
    const LibraryTurn turn;
    std::vector<std::string> names;
    const auto visit = [](hid_t, const char* name, const H5O_info_t* info, void* out) -> herr_t {
        if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    if (H5Ovisit2(impl_->file, H5_INDEX_NAME, H5_ITER_INC, visit, &names, H5O_INFO_BASIC) < 0)
        impl_->fail("listing the datasets");
    std::vector<DatasetInfo> out;
    for (const auto& name : names) {
        const Id set = impl_->dataset(name);
        const Id type(H5Dget_type(set), H5Tclose), native(H5Tget_native_type(type, H5T_DIR_ASCEND), H5Tclose);
        const auto known = std::find_if(all_types.begin(), all_types.end(),
                                        [&](Hdf5Type t) { return H5Tequal(native, native_type(t)) > 0; });
        if (known == all_types.end())
            throw StorageError(fmt::format("{} /{}: not a number type of this program", path().string(), name));
        out.push_back({name, *known, shape(name)});
    }
    return out;
}

std::vector<std::uint64_t> Hdf5File::shape(std::string_view name) const {
    const LibraryTurn turn;
    const Id set = impl_->dataset(name), space(H5Dget_space(set), H5Sclose);
    const auto extent = impl_->extent(space);
    return {extent.begin(), extent.end()};
}

std::uint64_t Hdf5File::row_elements(std::string_view name) const {
    const auto all = shape(name);
    return std::accumulate(all.begin() + (all.empty() ? 0 : 1), all.end(), std::uint64_t{1}, std::multiplies<>());
}

void Hdf5File::make_dataset(std::string_view name, Hdf5Type type, std::span<const std::uint64_t> shape,
                            std::uint64_t rows_per_chunk) {
    const LibraryTurn turn;
    const std::vector<hsize_t> extent(shape.begin(), shape.end());
    const Id space = impl_->checked(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose,
                                    "making the dataset", name);
    const Id links(H5Pcreate(H5P_LINK_CREATE), H5Pclose), layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(links, 1);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    const bool empty = std::find(extent.begin(), extent.end(), 0u) != extent.end();
    if (!empty && !extent.empty()) {
        auto chunk = extent;
        const auto row_bytes =
            std::accumulate(extent.begin() + 1, extent.end(), hsize_t{1}, std::multiplies<>()) * size_of(type);
        constexpr hsize_t chunk_bytes = hsize_t{1} << 20;
        chunk[0] = std::clamp<hsize_t>(rows_per_chunk ? rows_per_chunk : chunk_bytes / std::max<hsize_t>(row_bytes, 1),
                                       1, extent[0]);
        // A chunk must stay under HDF5's 4 GiB, with one long row too.
        for (std::size_t d = 1; d < chunk.size(); ++d)
            while (std::accumulate(chunk.begin(), chunk.end(), hsize_t{1}, std::multiplies<>()) * size_of(type) >
                       (hsize_t{1} << 30) &&
                   chunk[d] > 1)
                chunk[d] = (chunk[d] + 1) / 2;
        H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data());
        H5Pset_fletcher32(layout);
    }
    const Id set = impl_->checked(
        H5Dcreate2(impl_->file, std::string(name).c_str(), native_type(type), space, links, layout, H5P_DEFAULT),
        H5Dclose, "making the dataset", name);
}

std::uint64_t Hdf5File::make_flat_dataset(std::string_view name, Hdf5Type type, std::span<const std::uint64_t> shape) {
    const LibraryTurn turn;
    const std::vector<hsize_t> extent(shape.begin(), shape.end());
    const Id space = impl_->checked(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose,
                                    "making the dataset", name);
    const Id layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_layout(layout, H5D_CONTIGUOUS);
    H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    const Id set = impl_->checked(
        H5Dcreate2(impl_->file, std::string(name).c_str(), native_type(type), space, H5P_DEFAULT, layout, H5P_DEFAULT),
        H5Dclose, "making the dataset", name);
    const auto offset = H5Dget_offset(set);
    if (offset == HADDR_UNDEF) impl_->fail("placing", name);
    return offset;
}

void Hdf5File::write_raw(std::string_view name, std::uint64_t first, std::uint64_t count, Hdf5Type type,
                         std::span<const std::byte> values) {
    const LibraryTurn turn;
    const Id set = impl_->dataset(name), space(H5Dget_space(set), H5Sclose);
    const Id memory = impl_->select_rows(space, first, count, name);
    const auto extent = impl_->extent(space);
    const auto elements =
        count * std::accumulate(extent.begin() + 1, extent.end(), std::uint64_t{1}, std::multiplies<>());
    if (values.size() != elements * size_of(type))
        throw StorageError(
            fmt::format("{} /{}: {} bytes given for {} elements", path().string(), name, values.size(), elements));
    if (std::find(extent.begin(), extent.end(), 0u) != extent.end()) return;  // nothing can be written, on any rank
    const CountedFileWork work(values.size());
    if (H5Dwrite(set, native_type(type), memory, space,
                 impl_->together ? static_cast<hid_t>(impl_->transfer) : H5P_DEFAULT, values.data()) < 0)
        impl_->fail("writing", name, "is the disk full?");
}

void Hdf5File::read_raw(std::string_view name, std::uint64_t first, std::uint64_t count, Hdf5Type type,
                        std::span<std::byte> values) const {
    const LibraryTurn turn;
    const Id set = impl_->dataset(name), space(H5Dget_space(set), H5Sclose), stored(H5Dget_type(set), H5Tclose);
    if (H5Tequal(stored, native_type(type)) <= 0)
        throw StorageError(
            fmt::format("{} /{}: holds another type of number than this version reads", path().string(), name),
            "was it written by another version?");
    const Id memory = impl_->select_rows(space, first, count, name);
    const auto extent = impl_->extent(space);
    const auto elements =
        count * std::accumulate(extent.begin() + 1, extent.end(), std::uint64_t{1}, std::multiplies<>());
    if (values.size() != elements * size_of(type))
        throw StorageError(
            fmt::format("{} /{}: {} bytes of room for {} elements", path().string(), name, values.size(), elements));
    if (elements == 0) return;
    const CountedFileWork work(values.size());
    if (H5Dread(set, native_type(type), memory, space, H5P_DEFAULT, values.data()) < 0)
        impl_->fail("reading", name, "the file is damaged: remove it and run its stage again");
}

void Hdf5File::write_texts(std::string_view name, const std::vector<std::string>& texts, bool writes) {
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint32_t> lengths;
    for (const auto& text : texts) {
        bytes.insert(bytes.end(), text.begin(), text.end());
        lengths.push_back(static_cast<std::uint32_t>(text.size()));
    }
    const auto put = [&]<class T>(const char* part, const std::vector<T>& values) {
        const auto dataset = std::string(name) + part;
        const std::uint64_t shape[] = {values.size()};
        make_dataset(dataset, hdf5_type<T>(), shape);
        write_rows(dataset, 0, writes ? values.size() : 0, writes ? std::span<const T>(values) : std::span<const T>());
    };
    put("/bytes", bytes);
    put("/lengths", lengths);
}

std::vector<std::string> Hdf5File::read_texts(std::string_view name) const {
    const TextColumn column(*this, name);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < column.size(); ++i) texts.emplace_back(column[i]);
    return texts;
}

TextColumn::TextColumn(const Hdf5File& file, std::string_view name) {
    const auto lengths = file.read<std::uint32_t>(std::string(name) + "/lengths");
    offsets_.resize(lengths.size() + 1);
    for (std::size_t i = 0; i < lengths.size(); ++i) offsets_[i + 1] = offsets_[i] + lengths[i];
    const auto bytes_name = std::string(name) + "/bytes";
    bytes_.resize(file.rows(bytes_name));
    if (bytes_.size() != offsets_.back())
        throw StorageError(fmt::format("{} /{}: {} bytes for lengths that add up to {}", file.path().string(), name,
                                       bytes_.size(), offsets_.back()));
    file.read_rows_into(bytes_name, 0, bytes_.size(),
                        std::span(reinterpret_cast<std::uint8_t*>(bytes_.data()), bytes_.size()));
}

namespace {

void put_attribute(hid_t file, std::string_view name, hid_t type, const void* value,
                   const std::filesystem::path& path) {
    const Id space(H5Screate(H5S_SCALAR), H5Sclose);
    const std::string key(name);
    if (H5Aexists(file, key.c_str()) > 0) H5Adelete(file, key.c_str());
    const Id attribute(H5Acreate2(file, key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        throw StorageError(
            fmt::format("{} @{}: writing the attribute failed ({})", path.string(), name, library_reason()));
}

Id open_attribute(hid_t file, std::string_view name, const std::filesystem::path& path) {
    Id attribute(H5Aopen(file, std::string(name).c_str(), H5P_DEFAULT), H5Aclose);
    if (attribute < 0)
        throw StorageError(fmt::format("{} @{}: the attribute is missing", path.string(), name),
                           "was the file written by another version?");
    return attribute;
}

}  // namespace

void Hdf5File::set_attribute(std::string_view name, std::string_view text) {
    const LibraryTurn turn;
    // Attributes in the object header hold at most 64 KiB; longer texts belong in a text column.
    const Id type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, std::max<std::size_t>(text.size(), 1));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    put_attribute(impl_->file, name, type, text.empty() ? "" : text.data(), path());
}
void Hdf5File::set_attribute(std::string_view name, std::int64_t value) {
    const LibraryTurn turn;
    put_attribute(impl_->file, name, H5T_NATIVE_INT64, &value, path());
}
void Hdf5File::set_attribute(std::string_view name, double value) {
    const LibraryTurn turn;
    put_attribute(impl_->file, name, H5T_NATIVE_DOUBLE, &value, path());
}

bool Hdf5File::has_attribute(std::string_view name) const {
    const LibraryTurn turn;
    return H5Aexists(impl_->file, std::string(name).c_str()) > 0;
}

std::string Hdf5File::text_attribute(std::string_view name) const {
    const LibraryTurn turn;
    const Id attribute = open_attribute(impl_->file, name, path()), type(H5Aget_type(attribute), H5Tclose);
    std::string text(H5Tget_size(type), '\0');
    if (H5Tget_class(type) != H5T_STRING || H5Aread(attribute, type, text.data()) < 0)
        impl_->fail("reading the attribute", name);
    if (const auto end = text.find('\0'); end != text.npos) text.resize(end);
    return text;
}

std::int64_t Hdf5File::int_attribute(std::string_view name) const {
    const LibraryTurn turn;
    std::int64_t value = 0;
    if (H5Aread(open_attribute(impl_->file, name, path()), H5T_NATIVE_INT64, &value) < 0)
        impl_->fail("reading the attribute", name);
    return value;
}

double Hdf5File::double_attribute(std::string_view name) const {
    const LibraryTurn turn;
    double value = 0;
    if (H5Aread(open_attribute(impl_->file, name, path()), H5T_NATIVE_DOUBLE, &value) < 0)
        impl_->fail("reading the attribute", name);
    return value;
}

}  // namespace tg::storage
