// Where the pictures of a pool lie: the folders and shards of its sources, and the place of each picture in them. A
// column group of pool.h5 and of the listing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::pool {

// Where pictures lie: a folder that paths are relative to, or a tar shard.
struct Container {
    enum class Kind : std::uint8_t { folder = 0, shard = 1 };
    Kind kind = Kind::folder;
    std::filesystem::path path;
    std::string prefix;  // what stands before a picture's own path in its uri
    auto key() const { return std::tuple(kind, path.string(), prefix); }
};
void write_containers(storage::Hdf5File& file, const std::vector<Container>& containers,
                      bool writes = true);  // collective on common files; one rank `writes`
std::vector<Container> read_containers(const storage::Hdf5File& file);

struct ListedPicture {
    std::string uri;
    std::uint32_t container = 0;
    std::uint64_t offset = 0, bytes = 0;  // in a shard; 0 of a file in a folder, whose size is seen when it is read
};

}  // namespace tg::pool
