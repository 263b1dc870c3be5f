#include "taskgalaxy/pool/pool.hpp"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "taskgalaxy/pool/file_reader.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::pool {

// Columns as they lie in pool.h5; about 130 bytes a picture in memory with uris of 80 bytes.
struct Pool::Impl {
    Impl(const storage::Hdf5File& file, const PoolSettings& settings)
        : uri(file, "uri"),
          reason(file, "reason"),
          bytes(file.read<std::uint64_t>("bytes")),
          offset(file.read<std::uint64_t>("offset")),
          container(file.read<std::uint32_t>("container")),
          digest(file.rows("digest")),
          width(file.read<std::int32_t>("width")),
          height(file.read<std::int32_t>("height")),
          status(file.read<std::uint8_t>("status")),
          duplicate_of(file.read<std::int64_t>("duplicate_of")),
          files(read_containers(file)),
          options(settings.decode_options()),
          threads(settings.worker_threads()) {
        static_assert(sizeof(Digest) == 16);
        file.read_rows_into("digest", 0, digest.size(),
                            std::span(reinterpret_cast<std::uint8_t*>(digest.data()), digest.size() * sizeof(Digest)));
    }
    storage::TextColumn uri, reason;
    std::vector<std::uint64_t> bytes, offset;
    std::vector<std::uint32_t> container;
    std::vector<Digest> digest;
    std::vector<std::int32_t> width, height;
    std::vector<std::uint8_t> status;
    std::vector<std::int64_t> duplicate_of;
    PictureFiles files;
    pictures::DecodeOptions options;
    std::size_t threads;
};

Pool::Pool(const std::filesystem::path& pool_h5, const PoolSettings& settings)
    : impl_(std::make_unique<Impl>(storage::Hdf5File::open(pool_h5), settings)) {}
Pool::~Pool() = default;
Pool::Pool(Pool&&) noexcept = default;

std::uint64_t Pool::size() const { return impl_->uri.size(); }
std::string_view Pool::uri(std::uint64_t index) const { return impl_->uri[index]; }
std::optional<std::uint64_t> Pool::find(std::string_view uri) const {
    const auto rows = std::views::iota(std::uint64_t{0}, size());
    const auto found = std::ranges::lower_bound(rows, uri, {}, [this](std::uint64_t row) { return this->uri(row); });
    return found != rows.end() && this->uri(*found) == uri ? std::optional(*found) : std::nullopt;
}
pictures::PictureStatus Pool::status(std::uint64_t index) const {
    return static_cast<pictures::PictureStatus>(impl_->status[index]);
}
std::string_view Pool::reason(std::uint64_t index) const {
    if (status(index) == pictures::PictureStatus::duplicate) return "the same bytes as an earlier picture";
    return impl_->reason[index];
}
Digest Pool::digest(std::uint64_t index) const { return impl_->digest[index]; }
std::uint64_t Pool::bytes(std::uint64_t index) const { return impl_->bytes[index]; }
int Pool::width(std::uint64_t index) const { return impl_->width[index]; }
int Pool::height(std::uint64_t index) const { return impl_->height[index]; }
std::int64_t Pool::duplicate_of(std::uint64_t index) const { return impl_->duplicate_of[index]; }
const pictures::DecodeOptions& Pool::decode_options() const { return impl_->options; }
std::size_t Pool::worker_threads() const { return impl_->threads; }

std::vector<std::byte> Pool::read(std::uint64_t index) const {
    const auto fail = [&](pictures::PictureStatus status, std::string_view why) {
        return pictures::UnreadableImage(status, fmt::format("picture '{}': {}", uri(index), why));
    };
    if (!usable(index)) throw fail(status(index), reason(index));
    std::vector<std::byte> bytes;
    try {
        bytes = impl_->files.read(
            {std::string(uri(index)), impl_->container[index], impl_->offset[index], impl_->bytes[index]},
            impl_->bytes[index]);
    } catch (const pictures::UnreadableImage& error) {
        throw fail(error.status(), error.what());
    }
    if (digest_of(bytes) != impl_->digest[index])
        throw fail(pictures::PictureStatus::corrupt,
                   "not the bytes that ingest saw; run again with --redo ingest if it was meant to change");
    return bytes;
}

}  // namespace tg::pool
