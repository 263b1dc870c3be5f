// What the sources hold, before anything is read: one entry a picture, ordered by uri bytes. Made once, on one rank,
// and kept in a small HDF5 file that every rank reads its parts from; after a kill the same file goes on, so indices do
// not move.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "taskgalaxy/pool/container.hpp"
#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::ingest {

struct ListingCounts {
    std::uint64_t ignored = 0;          // files whose suffix is no picture's
    std::uint64_t repeated = 0;         // named more than once: manifests do that, and appended tar files
    std::uint64_t without_picture = 0;  // manifest records of text alone
};

class Listing {
public:
    std::uint32_t add_container(pool::Container container);
    void add(std::string uri, std::uint32_t container, std::uint64_t offset = 0, std::uint64_t bytes = 0) {
        pictures_.push_back({std::move(uri), container, offset, bytes});
    }
    ListingCounts& counts() { return counts_; }
    const ListingCounts& counts() const { return counts_; }
    const std::vector<pool::Container>& containers() const { return containers_; }
    const std::vector<pool::ListedPicture>& pictures() const { return pictures_; }

    // Orders by uri and drops repeats. Throws InputError when one uri means two pictures.
    void finish();
    void write(const std::filesystem::path& file, std::string_view fingerprint) const;

private:
    std::vector<pool::Container> containers_;
    std::map<std::tuple<pool::Container::Kind, std::string, std::string>, std::uint32_t> known_;
    std::vector<pool::ListedPicture> pictures_;
    ListingCounts counts_;
};

// The listing as other ranks see it: a part of it at a time.
class ListingFile {
public:
    explicit ListingFile(const std::filesystem::path& file);
    std::uint64_t size() const { return text_begin_.size() - 1; }
    const std::vector<pool::Container>& containers() const { return containers_; }
    ListingCounts counts() const;
    std::string fingerprint() const { return file_.text_attribute("fingerprint"); }
    std::vector<pool::ListedPicture> read(parallel::Slice items) const;

private:
    storage::Hdf5File file_;
    std::vector<std::uint64_t> text_begin_;
    std::vector<pool::Container> containers_;
};

// One source of the job: `[NAME=]KIND:WHERE`.
struct SourceSpec {
    std::string name, kind, where;
    std::string prefix() const { return name.empty() ? "" : name + "/"; }
};

// A kind of source. `list` adds what is there; `identify` adds what decides that, more cheaply where it can. Both throw
// InputError when it is not there at all.
struct SourceKind {
    std::string_view kind;
    void (*list)(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing);
    void (*identify)(const SourceSpec& source, const pool::PoolSettings& settings, DigestBuilder& inputs);
};
void list_folder(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing);
void identify_folder(const SourceSpec& source, const pool::PoolSettings& settings, DigestBuilder& inputs);
void list_shards(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing);
void identify_shards(const SourceSpec& source, const pool::PoolSettings& settings, DigestBuilder& inputs);
void list_manifest(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing);
void identify_manifest(const SourceSpec& source, const pool::PoolSettings& settings, DigestBuilder& inputs);

// Parses settings.sources; an unknown kind lists the known ones. Throws UsageError.
std::vector<std::pair<SourceSpec, const SourceKind*>> sources_of(const pool::PoolSettings& settings);
// All sources, finished. Throws InputError when they hold no picture at all.
Listing list_sources(const pool::PoolSettings& settings);
// Whether a file name ends in one of settings.suffixes.
bool has_picture_suffix(std::string_view name, const pool::PoolSettings& settings);

}  // namespace tg::ingest
