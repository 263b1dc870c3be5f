#include "taskgalaxy/pool/pool_table.hpp"

#include <algorithm>

#include "taskgalaxy/storage/dataset.hpp"

namespace tg::pool {
namespace {

namespace pool_sets {
constexpr storage::Dataset<std::string> uri{"uri"}, reason{"reason"};
constexpr storage::Dataset<std::uint32_t> container{"container"};
constexpr storage::Dataset<std::uint64_t> offset{"offset"}, bytes{"bytes"};
constexpr storage::Dataset<std::int32_t> width{"width"}, height{"height"};
constexpr storage::Dataset<std::uint8_t> status{"status"}, digest{"digest"};
constexpr storage::Dataset<std::int64_t> duplicate_of{"duplicate_of"};
}  // namespace pool_sets

constexpr std::uint64_t digest_bytes = 16;
static_assert(sizeof(Digest) == digest_bytes);

template <class Row, class T> void write_column(storage::Hdf5File& file, const storage::Dataset<T>& dataset,
                                                const std::vector<Row>& rows, T Row::*member) {
    std::vector<T> values;
    values.reserve(rows.size());
    for (const auto& row : rows) values.push_back(row.*member);
    dataset.write(file, values);
}

std::vector<Digest> read_digests(const storage::Hdf5File& file) {
    std::vector<Digest> digests(pool_sets::digest.rows(file));
    file.read_rows_into(pool_sets::digest.name, 0, digests.size(),
                        std::span(reinterpret_cast<std::uint8_t*>(digests.data()), digests.size() * digest_bytes));
    return digests;
}

std::uint64_t count_usable(const std::vector<std::uint8_t>& status) {
    return static_cast<std::uint64_t>(
        std::count(status.begin(), status.end(), static_cast<std::uint8_t>(pictures::PictureStatus::usable)));
}

}  // namespace

void write_pool_part(storage::Hdf5File& part, const std::vector<ListedPicture>& pictures,
                     const std::vector<Finding>& findings) {
    write_column(part, pool_sets::uri, pictures, &ListedPicture::uri);
    write_column(part, pool_sets::container, pictures, &ListedPicture::container);
    write_column(part, pool_sets::offset, pictures, &ListedPicture::offset);
    write_column(part, pool_sets::bytes, findings, &Finding::bytes);
    write_column(part, pool_sets::width, findings, &Finding::width);
    write_column(part, pool_sets::height, findings, &Finding::height);
    write_column(part, pool_sets::reason, findings, &Finding::reason);
    std::vector<std::uint8_t> status, digest;
    for (const auto& found : findings) {
        status.push_back(static_cast<std::uint8_t>(found.status));
        digest.insert(digest.end(), found.digest.bytes.begin(), found.digest.bytes.end());
    }
    pool_sets::status.write(part, status);
    pool_sets::digest.write(part, digest, {findings.size(), digest_bytes});
}

void write_pool_whole(storage::Hdf5File& file, const PoolWhole& whole, bool writes) {
    pool_sets::duplicate_of.write_together(file, whole.duplicate_of, {whole.pictures}, writes);
    if (whole.replaces_status) pool_sets::status.write_again(file, whole.status, whole.pictures, writes);
    write_containers(file, whole.containers, writes);
    file.set_attribute("ignored_files", whole.ignored_files);
    file.set_attribute("repeated_references", whole.repeated_references);
    file.set_attribute("records_without_picture", whole.records_without_picture);
}

PoolTable PoolTable::read(const std::filesystem::path& pool_h5) {
    const auto file = storage::Hdf5File::open(pool_h5);
    return {pool_sets::uri.column(file),
            pool_sets::reason.column(file),
            pool_sets::bytes.read(file),
            pool_sets::offset.read(file),
            pool_sets::container.read(file),
            read_digests(file),
            pool_sets::width.read(file),
            pool_sets::height.read(file),
            pool_sets::status.read(file),
            pool_sets::duplicate_of.read(file),
            read_containers(file)};
}

std::uint64_t PoolTable::usable() const { return count_usable(status); }

PoolPart read_pool_part(const std::filesystem::path& part) {
    const auto file = storage::Hdf5File::open(part);
    return {pool_sets::status.read(file), read_digests(file), pool_sets::bytes.read(file)};
}

std::uint64_t picture_count(const std::filesystem::path& pool_h5) {
    return pool_sets::status.rows(storage::Hdf5File::open(pool_h5));
}

std::uint64_t usable_count(const std::filesystem::path& pool_h5) {
    return count_usable(pool_sets::status.read(storage::Hdf5File::open(pool_h5)));
}

}  // namespace tg::pool
