// Reading pictures from folders and shards. What is wrong with one picture's file throws UnreadableImage; what is wrong
// with the machine (no file descriptors, no memory) or with the whole pool (its folder is gone) throws another Error,
// because then nothing that follows would be true.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/pool/container.hpp"

namespace tg::pool {

// A regular file, open for reading at any place by any thread. Never blocks on a pipe or a device: those are refused.
class OpenFile {
public:
    explicit OpenFile(const std::filesystem::path& path);
    ~OpenFile();
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    const std::filesystem::path& path() const { return path_; }
    std::uint64_t size() const { return size_; }
    // Fills `bytes` from `offset` on; false when the file ends before. Throws UnreadableImage on I/O errors that stay.
    bool read(std::uint64_t offset, std::span<std::byte> bytes) const;

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    std::uint64_t size_ = 0;
};

class PictureFiles {
public:
    explicit PictureFiles(std::vector<Container> containers) : containers_(std::move(containers)) {}
    // The bytes of a listed picture; at most `max_bytes`, or UnreadableImage (too_large) before reading. Thread-safe.
    std::vector<std::byte> read(const ListedPicture& picture, std::uint64_t max_bytes) const;

private:
    std::shared_ptr<const OpenFile> shard(std::uint32_t container) const;

    std::vector<Container> containers_;
    // Shards stay open, the most recently used ones: opening one costs a metadata server more than reading a picture
    // from it.
    static constexpr std::size_t most_open_shards = 64;
    mutable std::mutex mutex_;
    mutable std::list<std::uint32_t> recent_;  // most recent first
    mutable std::unordered_map<std::uint32_t,
                               std::pair<std::shared_ptr<const OpenFile>, std::list<std::uint32_t>::iterator>>
        open_;
};

}  // namespace tg::pool
