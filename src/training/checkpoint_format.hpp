// What a file of a checkpoint holds, RUN/checkpoints/step-N.h5: attributes format, fingerprint, ranks and step, the
// training log as log/..., a flat fp32 dataset a quantity, indexed over all trained units in their order, and their
// checksums, u64 [quantities * trained units].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <tuple>

#include "sharded_unit.hpp"

namespace tg::training {

struct Quantity {
    const char* name;
    torch::Tensor (ShardedUnit::*slice)() const;
    void (ShardedUnit::*put)(const torch::Tensor&);
};
inline constexpr std::array quantities{
    Quantity{"weights", &ShardedUnit::master, &ShardedUnit::set_master},
    Quantity{"first_moment", &ShardedUnit::first_moment, &ShardedUnit::set_first_moment},
    Quantity{"second_moment", &ShardedUnit::second_moment, &ShardedUnit::set_second_moment}};
inline constexpr std::int64_t checkpoint_format = 2;
inline constexpr auto checksums_name = "checksums";

// Of float bits at global index `first` on: sums over parts, in any order, give the sum over the whole; a single
// changed bit or a swapped pair changes it. Part of the file format.
std::uint64_t checkpoint_checksum(std::span<const float> values, std::uint64_t first);

// Where the datasets begin in the file, in bytes.
struct CheckpointPlaces {
    std::array<std::uint64_t, quantities.size()> quantity{};
    std::uint64_t checksums = 0;
    template <class Self> static auto fields(Self& self) { return std::tie(self.quantity, self.checksums); }
};

// A file that is there, for ranks to write into each at its own places. Throws StorageError.
class SharedFile {
public:
    explicit SharedFile(const std::filesystem::path& path);
    ~SharedFile();
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;

    // Room for the whole file now, where the file system can: a full disk is met before anything was written.
    void reserve(std::uint64_t bytes) const;
    // The bytes begin their way to the disk at once, so that the sync at the end finds little left to do.
    void write(std::span<const std::byte> bytes, std::uint64_t at) const;
    void sync() const;

private:
    [[noreturn]] void fail(const char* doing) const;
    std::filesystem::path path_;
    int file_;
};

}  // namespace tg::training
