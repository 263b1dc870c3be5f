// Work done so far, as one small HDF5 file a part under RUN/parts/NAME/. Parts are cut by index and carry their range,
// so that another number of ranks, and another part size, goes on where the last stopped: what is done stays as it was
// cut, the gaps are cut anew. When all exist they are gathered, in order, into the final file and removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::storage {

class PartStore {
public:
    // `fingerprint` guards against parts of other inputs: parts that carry another are removed. Collective.
    PartStore(std::filesystem::path folder, parallel::Cut cut, std::string fingerprint,
              const parallel::Communicator& ranks);

    const parallel::Tiling& parts() const { return parts_; }
    // Indices of the parts that nobody has finished, the same on every rank (listed once, by rank 0, at construction).
    const std::vector<std::uint64_t>& missing() const { return missing_; }
    // The missing parts that are this rank's to do: every size()-th, so that a run of slow items is spread.
    std::vector<std::uint64_t> mine() const;
    std::uint64_t items_missing_here() const;

    // Writes one part; after return it is durable and will not be done again. Not collective.
    void write(std::uint64_t part, const std::function<void(Hdf5File&)>& fill) const;
    std::filesystem::path path(std::uint64_t part) const;

    // Collective, when no part is missing any more (else StorageError): joins every dataset of all parts, but for
    // those below the group `part`, along its first dimension, in part order, into `final_name`; `finish` may add
    // datasets and attributes (collectively). Then removes the parts. Ranks read and write disjoint parts at once;
    // nobody holds more than one part in memory.
    void gather(const std::filesystem::path& final_name, const std::function<void(Hdf5File&)>& finish = {}) const;

private:
    std::filesystem::path folder_;
    parallel::Tiling parts_;
    std::string fingerprint_;
    const parallel::Communicator& ranks_;
    std::vector<std::uint64_t> missing_;
};

// For each part of `store` that is this rank's: `work(index, items)` and then write what `fill` puts. Stops between
// parts when a stop is asked for, throwing Stopped on every rank (agreed). The loop every part-wise stage shares.
void for_each_part(const PartStore& store, const parallel::Communicator& ranks, const std::string& stage,
                   const std::string& unit,
                   const std::function<void(std::uint64_t part, parallel::Slice items, Hdf5File& out)>& work);

}  // namespace tg::storage
