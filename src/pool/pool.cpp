#include "taskgalaxy/pool/pool.hpp"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "taskgalaxy/pool/file_reader.hpp"
#include "taskgalaxy/pool/pool_table.hpp"

namespace tg::pool {

struct Pool::Impl {
    Impl(PoolTable columns, const PoolSettings& settings)
        : table(std::move(columns)),
          files(table.containers),
          options(settings.decode_options()),
          threads(settings.worker_threads()) {}
    PoolTable table;
    PictureFiles files;
    pictures::DecodeOptions options;
    std::size_t threads;
};

Pool::Pool(const std::filesystem::path& pool_h5, const PoolSettings& settings)
    : impl_(std::make_unique<Impl>(PoolTable::read(pool_h5), settings)) {}
Pool::~Pool() = default;
Pool::Pool(Pool&&) noexcept = default;

std::uint64_t Pool::size() const { return impl_->table.uri.size(); }
std::string_view Pool::uri(std::uint64_t index) const { return impl_->table.uri[index]; }
std::optional<std::uint64_t> Pool::find(std::string_view uri) const {
    const auto rows = std::views::iota(std::uint64_t{0}, size());
    const auto found = std::ranges::lower_bound(rows, uri, {}, [this](std::uint64_t row) { return this->uri(row); });
    return found != rows.end() && this->uri(*found) == uri ? std::optional(*found) : std::nullopt;
}
pictures::PictureStatus Pool::status(std::uint64_t index) const {
    return static_cast<pictures::PictureStatus>(impl_->table.status[index]);
}
std::string_view Pool::reason(std::uint64_t index) const {
    if (status(index) == pictures::PictureStatus::duplicate) return "the same bytes as an earlier picture";
    return impl_->table.reason[index];
}
Digest Pool::digest(std::uint64_t index) const { return impl_->table.digest[index]; }
std::uint64_t Pool::bytes(std::uint64_t index) const { return impl_->table.bytes[index]; }
int Pool::width(std::uint64_t index) const { return impl_->table.width[index]; }
int Pool::height(std::uint64_t index) const { return impl_->table.height[index]; }
std::int64_t Pool::duplicate_of(std::uint64_t index) const { return impl_->table.duplicate_of[index]; }
const pictures::DecodeOptions& Pool::decode_options() const { return impl_->options; }
std::size_t Pool::worker_threads() const { return impl_->threads; }

std::vector<std::byte> Pool::read(std::uint64_t index) const {
    const auto fail = [&](pictures::PictureStatus status, std::string_view why) {
        return pictures::UnreadableImage(status, fmt::format("picture '{}': {}", uri(index), why));
    };
    if (!usable(index)) throw fail(status(index), reason(index));
    std::vector<std::byte> bytes;
    try {
        bytes = impl_->files.read({std::string(uri(index)), impl_->table.container[index], impl_->table.offset[index],
                                   impl_->table.bytes[index]},
                                  impl_->table.bytes[index]);
    } catch (const pictures::UnreadableImage& error) {
        throw fail(error.status(), error.what());
    }
    if (digest_of(bytes) != impl_->table.digest[index])
        throw fail(pictures::PictureStatus::corrupt,
                   "not the bytes that ingest saw; run again with --redo ingest if it was meant to change");
    return bytes;
}

}  // namespace tg::pool
