// The pool as later stages see it: pool.h5 opened, one row a picture, bytes read from where they lie. Index = row,
// ordered by uri bytes, whatever the number of ranks. Any thread may call the const members; the constructor reads HDF5
// (main thread).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/pool/settings.hpp"

namespace tg::pool {

class Pool {
public:
    Pool(const std::filesystem::path& pool_h5, const PoolSettings& settings);
    ~Pool();
    Pool(Pool&&) noexcept;

    std::uint64_t size() const;
    std::string_view uri(std::uint64_t index) const;
    std::optional<std::uint64_t> find(std::string_view uri) const;
    pictures::PictureStatus status(std::uint64_t index) const;
    bool usable(std::uint64_t index) const { return status(index) == pictures::PictureStatus::usable; }
    std::string_view reason(std::uint64_t index) const;  // empty where usable
    Digest digest(std::uint64_t index) const;
    std::uint64_t bytes(std::uint64_t index) const;
    int width(std::uint64_t index) const;  // as decoded; 0 where not known
    int height(std::uint64_t index) const;
    std::int64_t duplicate_of(std::uint64_t index) const;  // the first picture with the same bytes, or -1

    // The file's bytes, checked against the digest taken at ingest. Throws UnreadableImage (an InputError) naming the
    // picture.
    std::vector<std::byte> read(std::uint64_t index) const;
    const pictures::DecodeOptions& decode_options() const;
    std::size_t worker_threads() const;  // as the settings say

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::pool
