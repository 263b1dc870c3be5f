#include "taskgalaxy/storage/safetensors.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <numeric>
#include <set>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::storage {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t longest_header = 100'000'000;  // the reference reader's limit
constexpr std::string_view index_name = "model.safetensors.index.json";

struct TypeRow {
    TensorType type;
    std::string_view name;
    std::size_t size;
};
constexpr std::array type_table{
    TypeRow{TensorType::boolean, "BOOL", 1},    TypeRow{TensorType::u8, "U8", 1},
    TypeRow{TensorType::i8, "I8", 1},           TypeRow{TensorType::f8_e5m2, "F8_E5M2", 1},
    TypeRow{TensorType::f8_e4m3, "F8_E4M3", 1}, TypeRow{TensorType::i16, "I16", 2},
    TypeRow{TensorType::u16, "U16", 2},         TypeRow{TensorType::f16, "F16", 2},
    TypeRow{TensorType::bf16, "BF16", 2},       TypeRow{TensorType::i32, "I32", 4},
    TypeRow{TensorType::u32, "U32", 4},         TypeRow{TensorType::f32, "F32", 4},
    TypeRow{TensorType::f64, "F64", 8},         TypeRow{TensorType::i64, "I64", 8},
    TypeRow{TensorType::u64, "U64", 8},
};
const TypeRow& row_of(TensorType type) { return *std::ranges::find(type_table, type, &TypeRow::type); }

class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_ = -1;
};

void read_exactly(int fd, const fs::path& path, std::uint64_t offset, std::span<std::byte> into) {
    constexpr std::size_t longest_read = std::size_t{1} << 30;  // Linux cuts a pread at 2 GiB
    while (!into.empty()) {
        const auto got = ::pread(fd, into.data(), std::min(into.size(), longest_read), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            throw InputError(
                fmt::format("{}: cannot read at byte {}: {}", path.string(), offset, std::strerror(errno)));
        if (got == 0)
            throw InputError(fmt::format("{}: ends at byte {}, {} bytes short", path.string(), offset, into.size()),
                             "copy the file again");
        into = into.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
}

// Where a tensor's bytes lie.
struct Place {
    std::size_t file = 0;
    std::uint64_t begin = 0, end = 0;  // in the file
};

struct File {
    fs::path path;
    Descriptor fd;
    std::map<std::string, std::pair<TensorInfo, Place>> tensors;
};

// nlohmann keeps the last of two equal keys; a header with two is broken, so keys of the top level are watched while
// parsing.
Json parse_header(const std::string& text, const fs::path& path) {
    std::set<std::string> seen;
    std::string twice;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
        if (event == Json::parse_event_t::key && depth == 1 && !seen.insert(value.get<std::string>()).second)
            twice = value.get<std::string>();
        // A true header nests three levels; a hostile million of brackets costs no memory this way.
        return depth <= 8;
    };
    Json header = Json::parse(text, watch, false);
    if (header.is_discarded() || !header.is_object())
        throw InputError(fmt::format("{}: the safetensors header is not a JSON object", path.string()),
                         "the file is damaged or of another format");
    if (!twice.empty())
        throw InputError(
            fmt::format("{}: tensor '{}' appears twice in the header", path.string(), excerpt(twice, 200)));
    return header;
}

TensorInfo info_from(const Json& entry, const std::string& where) {
    const auto bad = [&](std::string_view what) {
        return InputError(fmt::format("{}: {}", where, what), "the file is damaged");
    };
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets"))
        throw bad("the header entry lacks dtype, shape or data_offsets");
    TensorInfo info;
    const auto& dtype = entry["dtype"];
    const auto type = dtype.is_string()
                          ? std::ranges::find(type_table, dtype.get_ref<const std::string&>(), &TypeRow::name)
                          : type_table.end();
    if (type == type_table.end()) throw bad(fmt::format("type {} is not known", excerpt(dtype.dump(), 60)));
    info.type = type->type;
    if (!entry["shape"].is_array()) throw bad("the shape is not a list");
    std::uint64_t bytes = type->size;
    bool empty = false;
    for (const auto& side : entry["shape"]) {
        if (!side.is_number_unsigned() || side.get<std::uint64_t>() > (std::uint64_t{1} << 62))
            throw bad("the shape holds something else than whole numbers");
        const auto length = side.get<std::uint64_t>();
        empty = empty || length == 0;
        if (!empty && __builtin_mul_overflow(bytes, length, &bytes)) throw bad("the shape is too large for any file");
        info.shape.push_back(static_cast<std::int64_t>(length));
    }
    return info;
}

File open_file(const fs::path& path, std::size_t index) {
    File file;
    file.path = path;
    file.fd = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (file.fd.get() < 0 || ::fstat(file.fd.get(), &about) != 0)
        throw InputError(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
    const auto size = static_cast<std::uint64_t>(about.st_size);
    if (!S_ISREG(about.st_mode) || size < 8)
        throw InputError(fmt::format("{}: {} bytes are too few for a safetensors file", path.string(), size));

    std::array<std::byte, 8> head;
    read_exactly(file.fd.get(), path, 0, head);
    std::uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; --i)
        header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(head[static_cast<std::size_t>(i)]);
    if (header_bytes > longest_header || header_bytes > size - 8)
        throw InputError(
            fmt::format("{}: claims a header of {} bytes in a file of {}", path.string(), header_bytes, size),
            "the file is damaged or of another format");
    std::string text(header_bytes, '\0');
    read_exactly(file.fd.get(), path, 8, std::as_writable_bytes(std::span(text)));

    const std::uint64_t data_begin = 8 + header_bytes, data_bytes = size - data_begin;
    const auto header = parse_header(text, path);
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") continue;
        const auto where = fmt::format("{}: tensor '{}'", path.string(), excerpt(name, 200));
        const auto info = info_from(entry, where);
        const auto& offsets = entry["data_offsets"];
        if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
            !offsets[1].is_number_unsigned())
            throw InputError(where + ": data_offsets are not two whole numbers", "the file is damaged");
        const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
        if (begin > end || end > data_bytes)
            throw InputError(
                fmt::format("{}: its bytes {}..{} reach past the {} bytes of data", where, begin, end, data_bytes),
                "the file is cut short or damaged");
        if (end - begin != info.bytes())
            throw InputError(fmt::format("{}: shape {} of {} needs {} bytes, the header gives {}", where,
                                         shape_text(info.shape), safetensors_name(info.type), info.bytes(),
                                         end - begin));
        file.tensors.emplace(name, std::pair{info, Place{index, data_begin + begin, data_begin + end}});
    }

    // In order of place: each begins where the one before ends, and the last ends the file.
    std::vector<const std::pair<const std::string, std::pair<TensorInfo, Place>>*> in_order;
    for (const auto& tensor : file.tensors) in_order.push_back(&tensor);
    std::ranges::sort(in_order, {}, [](auto* t) { return std::pair(t->second.second.begin, t->second.second.end); });
    std::uint64_t next = data_begin;
    for (const auto* tensor : in_order) {
        const auto& place = tensor->second.second;
        if (place.begin != next)
            throw InputError(
                fmt::format("{}: tensor '{}' {} the tensor before it", path.string(), excerpt(tensor->first, 200),
                            place.begin < next ? "overlaps" : "leaves a gap after"),
                "the file is damaged");
        next = place.end;
    }
    if (next != size)
        throw InputError(
            fmt::format("{}: {} bytes after the last tensor belong to nothing", path.string(), size - next),
            "the file is damaged");
    return file;
}

// File names of the shards, and which tensor the index promises in which.
std::map<std::string, std::set<std::string>> read_index(const fs::path& path) {
    const Json index = read_json(path);
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
        throw InputError(path.string() + ": is not a JSON object with a weight_map");
    std::map<std::string, std::set<std::string>> promised;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
        if (!file.is_string())
            throw InputError(fmt::format("{}: tensor '{}' names no file", path.string(), excerpt(tensor, 200)));
        const auto& name = file.get_ref<const std::string&>();
        if (name.empty() || fs::path(name).filename() != fs::path(name))
            throw InputError(fmt::format("{}: tensor '{}' names '{}', which is no file of this folder", path.string(),
                                         excerpt(tensor, 200), excerpt(name, 200)));
        promised[name].insert(tensor);
    }
    if (promised.empty()) throw InputError(path.string() + ": the weight_map is empty");
    return promised;
}

std::vector<File> open_sharded(const fs::path& index_path) {
    std::vector<File> files;
    for (const auto& [name, promised] : read_index(index_path)) {
        const auto path = index_path.parent_path() / name;
        if (!fs::exists(path))
            throw InputError(
                fmt::format("{}: names {}, which is missing", index_path.string(), path.filename().string()),
                "copy the whole model folder");
        auto file = open_file(path, files.size());
        for (const auto& tensor : promised)
            if (!file.tensors.contains(tensor))
                throw InputError(
                    fmt::format("{}: tensor '{}' is not in {}", index_path.string(), excerpt(tensor, 200), name));
        files.push_back(std::move(file));
    }
    return files;
}

std::vector<File> open_folder(const fs::path& path) {
    std::vector<File> files;
    if (fs::is_directory(path)) {
        if (fs::exists(path / index_name)) return open_sharded(path / index_name);
        if (!fs::exists(path / "model.safetensors"))
            throw InputError(fmt::format("{}: holds neither model.safetensors nor {}", path.string(), index_name),
                             "give a Hugging Face model folder; pickled weights (pytorch_model.bin) are not read, "
                             "convert them first");
        files.push_back(open_file(path / "model.safetensors", 0));
    } else if (fs::exists(path)) {
        files.push_back(open_file(path, 0));
    } else {
        throw InputError(path.string() + ": there is no such model folder", "check the path in the job file");
    }
    return files;
}

}  // namespace

std::size_t size_of(TensorType type) { return row_of(type).size; }
std::string_view safetensors_name(TensorType type) { return row_of(type).name; }

std::uint64_t TensorInfo::elements() const {
    // A zero anywhere makes it empty; taken first, since the other sides may then be of any size.
    if (std::ranges::find(shape, 0) != shape.end()) return 0;
    return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1},
                           [](std::uint64_t n, std::int64_t side) { return n * static_cast<std::uint64_t>(side); });
}

std::uint64_t TensorInfo::row_bytes() const {
    if (shape.empty()) return bytes();
    return shape.front() == 0 ? 0 : bytes() / static_cast<std::uint64_t>(shape.front());
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

struct SafetensorsFolder::Impl {
    fs::path path;
    std::vector<File> files;
    std::vector<fs::path> file_paths;
    std::map<std::string, TensorInfo, std::less<>> tensors;
    std::map<std::string, Place, std::less<>> places;
};

SafetensorsFolder::SafetensorsFolder(const fs::path& folder_or_file) : impl_(std::make_unique<Impl>()) {
    impl_->path = folder_or_file;
    impl_->files = open_folder(folder_or_file);
    for (const auto& file : impl_->files) {
        impl_->file_paths.push_back(file.path);
        for (const auto& [name, entry] : file.tensors) {
            if (!impl_->tensors.emplace(name, entry.first).second)
                throw InputError(fmt::format("{}: tensor '{}' is also in {}", file.path.string(), excerpt(name, 200),
                                             impl_->file_paths[impl_->places.find(name)->second.file].string()));
            impl_->places.emplace(name, entry.second);
        }
    }
}
SafetensorsFolder::~SafetensorsFolder() = default;
SafetensorsFolder::SafetensorsFolder(SafetensorsFolder&&) noexcept = default;
SafetensorsFolder& SafetensorsFolder::operator=(SafetensorsFolder&&) noexcept = default;

const fs::path& SafetensorsFolder::path() const { return impl_->path; }
const std::map<std::string, TensorInfo, std::less<>>& SafetensorsFolder::tensors() const { return impl_->tensors; }
const std::vector<fs::path>& SafetensorsFolder::files() const { return impl_->file_paths; }

const TensorInfo& SafetensorsFolder::info(std::string_view name) const {
    const auto found = impl_->tensors.find(name);
    if (found == impl_->tensors.end())
        throw InputError(fmt::format("{}: has no tensor '{}'", impl_->path.string(), name));
    return found->second;
}

void SafetensorsFolder::read(std::string_view name, std::span<std::byte> into) const {
    const auto& tensor = info(name);
    if (into.size() != tensor.bytes())
        throw std::logic_error(
            fmt::format("tensor '{}' has {} bytes, {} were asked for", name, tensor.bytes(), into.size()));
    const auto& place = impl_->places.find(name)->second;
    const auto& file = impl_->files[place.file];
    read_exactly(file.fd.get(), file.path, place.begin, into);
}

void SafetensorsFolder::read_rows(std::string_view name, std::uint64_t first, std::uint64_t count,
                                  std::span<std::byte> into) const {
    const auto& tensor = info(name);
    const std::uint64_t rows = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.front());
    if (first > rows || count > rows - first || into.size() != count * tensor.row_bytes())
        throw std::logic_error(fmt::format("tensor '{}' {}: rows {} + {} into {} bytes", name, shape_text(tensor.shape),
                                           first, count, into.size()));
    const auto& place = impl_->places.find(name)->second;
    const auto& file = impl_->files[place.file];
    read_exactly(file.fd.get(), file.path, place.begin + first * tensor.row_bytes(), into);
}

// ---- writing

namespace {

struct Shard {
    std::string file;
    std::vector<std::size_t> tensors;  // indices into the list, in file order
    std::string head;                  // length and JSON, padded to 8 bytes
    std::uint64_t data_bytes = 0;
};

std::string header_of(const std::vector<TensorSpec>& tensors, const Shard& shard,
                      const std::map<std::string, std::string>& metadata, std::vector<Place>& places,
                      std::size_t file) {
    nlohmann::ordered_json header;
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::uint64_t offset = 0;
    for (const auto index : shard.tensors) {
        const auto& [name, info] = tensors[index];
        places[index] = {file, offset, offset + info.bytes()};
        header[name] = {{"dtype", safetensors_name(info.type)},
                        {"shape", info.shape},
                        {"data_offsets", {offset, offset + info.bytes()}}};
        offset += info.bytes();
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');  // the reference writer aligns the data to 8 bytes so
    std::string head(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
    head += text;
    for (const auto index : shard.tensors) {
        places[index].begin += head.size();
        places[index].end += head.size();
    }
    return head;
}

void write_exactly(int fd, const fs::path& path, std::uint64_t offset, std::span<const std::byte> bytes) {
    constexpr std::size_t longest_write = std::size_t{1} << 30;
    while (!bytes.empty()) {
        const auto put = ::pwrite(fd, bytes.data(), std::min(bytes.size(), longest_write), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) throw StorageError(fmt::format("{}: cannot write: {}", path.string(), std::strerror(errno)));
        bytes = bytes.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
}

}  // namespace

struct SafetensorsWriter::Impl {
    fs::path folder;
    Part part;
    std::vector<TensorSpec> tensors;
    std::map<std::string, std::size_t, std::less<>> index_of;
    std::vector<Place> places;
    std::vector<Shard> shards;
    std::vector<Descriptor> fds;
    std::uint64_t written = 0, total = 0;
    std::string stem;

    fs::path final_path(std::size_t shard) const { return folder / shards[shard].file; }
    fs::path path(std::size_t shard) const { return temporary_name(final_path(shard)); }

    void lay_out(const SafetensorsLayout& layout) {
        shards.emplace_back();
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const auto bytes = tensors[i].info.bytes();
            if (!shards.back().tensors.empty() && shards.back().data_bytes + bytes > layout.shard_bytes)
                shards.emplace_back();
            shards.back().tensors.push_back(i);
            shards.back().data_bytes += bytes;
            total += bytes;
            if (!index_of.emplace(tensors[i].name, i).second)
                throw std::logic_error(fmt::format("tensor '{}' is listed twice", tensors[i].name));
        }
        places.resize(tensors.size());
        for (std::size_t s = 0; s < shards.size(); ++s) {
            shards[s].file = shards.size() == 1
                                 ? stem + ".safetensors"
                                 : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, s + 1, shards.size());
            shards[s].head = header_of(tensors, shards[s], layout.metadata, places, s);
        }
    }

    void open(std::size_t shard) {
        const auto name = path(shard);
        const int flags = part == Part::other ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC;
        fds.emplace_back(::open(name.c_str(), flags | O_CLOEXEC, 0666));
        if (fds.back().get() < 0)
            throw StorageError(fmt::format("{}: cannot open for writing: {}", name.string(), std::strerror(errno)));
        if (part == Part::other) return;
        write_exactly(fds.back().get(), name, 0, std::as_bytes(std::span(shards[shard].head)));
        if (::ftruncate(fds.back().get(), static_cast<off_t>(shards[shard].head.size() + shards[shard].data_bytes)) !=
            0)
            throw StorageError(fmt::format("{}: cannot set its size: {}", name.string(), std::strerror(errno)));
    }
};

SafetensorsWriter::SafetensorsWriter(const fs::path& folder, std::vector<TensorSpec> tensors, SafetensorsLayout layout,
                                     Part part)
    : impl_(std::make_unique<Impl>()) {
    impl_->folder = folder;
    impl_->part = part;
    impl_->tensors = std::move(tensors);
    impl_->stem = layout.stem;
    impl_->lay_out(layout);
    std::error_code failed;
    if (part != Part::other && (fs::create_directories(folder, failed), failed))
        throw StorageError(fmt::format("{}: cannot make the folder: {}", folder.string(), failed.message()));
    for (std::size_t s = 0; s < impl_->shards.size(); ++s) impl_->open(s);
}
SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
    const auto found = impl_->index_of.find(name);
    if (found == impl_->index_of.end())
        throw std::logic_error(fmt::format("tensor '{}' is not in the writer's list", name));
    const auto& shape = impl_->tensors[found->second].info.shape;
    write_rows(name, 0, shape.empty() ? 1 : static_cast<std::uint64_t>(shape.front()), bytes);
}

void SafetensorsWriter::write_rows(std::string_view name, std::uint64_t first, std::uint64_t count,
                                   std::span<const std::byte> bytes) {
    const auto found = impl_->index_of.find(name);
    if (found == impl_->index_of.end())
        throw std::logic_error(fmt::format("tensor '{}' is not in the writer's list", name));
    const auto& info = impl_->tensors[found->second].info;
    const std::uint64_t rows = info.shape.empty() ? 1 : static_cast<std::uint64_t>(info.shape.front());
    if (first > rows || count > rows - first || bytes.size() != count * info.row_bytes())
        throw std::logic_error(fmt::format("tensor '{}' {}: rows {} + {} from {} bytes", name, shape_text(info.shape),
                                           first, count, bytes.size()));
    const auto& place = impl_->places[found->second];
    write_exactly(impl_->fds[place.file].get(), impl_->path(place.file), place.begin + first * info.row_bytes(), bytes);
    impl_->written += bytes.size();
}

void SafetensorsWriter::flush() {
    for (std::size_t s = 0; s < impl_->fds.size(); ++s)
        if (::fsync(impl_->fds[s].get()) != 0)
            throw StorageError(
                fmt::format("{}: cannot flush to disk: {}", impl_->path(s).string(), std::strerror(errno)));
}

void SafetensorsWriter::publish() {
    if (impl_->part == Part::other) throw std::logic_error("the process that made the files publishes them");
    if (impl_->part == Part::whole && impl_->written != impl_->total)
        throw std::logic_error(fmt::format("{} of {} bytes of weights were written", impl_->written, impl_->total));
    flush();
    std::set<fs::path> current;
    for (std::size_t s = 0; s < impl_->shards.size(); ++s) {
        tg::storage::publish(impl_->final_path(s));
        current.insert(impl_->final_path(s));
    }
    const auto index_path = impl_->folder / (impl_->stem + ".safetensors.index.json");
    if (impl_->shards.size() > 1) {
        nlohmann::ordered_json index;
        index["metadata"]["total_size"] = impl_->total;
        auto& map = index["weight_map"] = nlohmann::ordered_json::object();
        for (const auto& [name, i] : impl_->index_of) map[name] = impl_->shards[impl_->places[i].file].file;
        publish_text(index_path, index.dump(2) + "\n");
    } else {
        fs::remove(index_path);  // else a reader would follow it to the shards of an earlier layout
    }
    for (const auto& entry : fs::directory_iterator(impl_->folder)) {
        const auto name = entry.path().filename().string();
        if (name.starts_with(impl_->stem) && name.ends_with(".safetensors") && !current.contains(entry.path()))
            fs::remove(entry.path());
    }
    sync_folder(impl_->folder);
}

std::uint64_t SafetensorsWriter::bytes_written() const { return impl_->written; }

}  // namespace tg::storage
