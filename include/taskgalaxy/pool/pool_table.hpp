// pool.h5, made by `ingest`: one row a picture that the sources list, in the order of uri bytes. N pictures, C
// containers.
//   uri, reason    texts        where it comes from; why it cannot be used (empty where it can)
//   container      u32 [N]      which of `containers` it lies in
//   offset, bytes  u64 [N]      its place in a shard (0 in a folder); its size
//   width, height  i32 [N]      as decoded; 0 where not known
//   status         u8 [N]       pictures::PictureStatus
//   digest         u8 [N,16]    of the file's bytes
//   duplicate_of   i64 [N]      the first picture with the same bytes, or -1
//   containers/    path, prefix (texts), kind (u8) [C]: see container.hpp
//   attributes     ignored_files, repeated_references, records_without_picture (i64); fingerprint
// A part holds its rows of everything but duplicate_of and containers. Readers use HDF5: main thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/pool/container.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::pool {

// What ingest learns of one picture.
struct Finding {
    pictures::PictureStatus status = pictures::PictureStatus::usable;
    std::string reason;
    std::uint64_t bytes = 0;
    Digest digest;
    int width = 0, height = 0;
};

// Of one part: a finding a picture.
void write_pool_part(storage::Hdf5File& part, const std::vector<ListedPicture>& pictures,
                     const std::vector<Finding>& findings);

// What only the whole pool shows. The columns are needed on the rank that writes alone.
struct PoolWhole {
    std::uint64_t pictures = 0;
    std::vector<std::int64_t> duplicate_of;
    std::vector<std::uint8_t> status;
    bool replaces_status = false;  // of the parts, which do not know of duplicates; the same on every rank
    std::vector<Container> containers;
    std::uint64_t ignored_files = 0, repeated_references = 0, records_without_picture = 0;
};
// Of the whole file. Collective on files made together; one rank `writes`.
void write_pool_whole(storage::Hdf5File& file, const PoolWhole& whole, bool writes = true);

// The columns of pool.h5 as they lie there; about 130 bytes a picture in memory with uris of 80 bytes.
struct PoolTable {
    storage::TextColumn uri, reason;
    std::vector<std::uint64_t> bytes, offset;
    std::vector<std::uint32_t> container;
    std::vector<Digest> digest;
    std::vector<std::int32_t> width, height;
    std::vector<std::uint8_t> status;
    std::vector<std::int64_t> duplicate_of;
    std::vector<Container> containers;

    static PoolTable read(const std::filesystem::path& pool_h5);
    std::uint64_t size() const { return status.size(); }
    std::uint64_t usable() const;
};

// What the whole is summarised from.
struct PoolPart {
    std::vector<std::uint8_t> status;
    std::vector<Digest> digest;
    std::vector<std::uint64_t> bytes;
};
PoolPart read_pool_part(const std::filesystem::path& part);
std::uint64_t picture_count(const std::filesystem::path& pool_h5);
std::uint64_t usable_count(const std::filesystem::path& pool_h5);

}  // namespace tg::pool
