#include "listing.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::ingest {
namespace {

// Adding a source kind: one file and one row here.
constexpr std::array source_kinds{
    SourceKind{"folder", list_folder, identify_folder},
    SourceKind{"tar", list_shards, identify_shards},
    SourceKind{"manifest", list_manifest, identify_manifest},
};

}  // namespace

std::uint32_t Listing::add_container(pool::Container container) {
    const auto [at, is_new] = known_.try_emplace(container.key(), static_cast<std::uint32_t>(containers_.size()));
    if (is_new) containers_.push_back(std::move(container));
    return at->second;
}

void Listing::finish() {
    std::sort(pictures_.begin(), pictures_.end(), [](const pool::ListedPicture& a, const pool::ListedPicture& b) {
        return std::tie(a.uri, a.container, a.offset) < std::tie(b.uri, b.container, b.offset);
    });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < pictures_.size(); ++i) {
        if (kept > 0 && pictures_[kept - 1].uri == pictures_[i].uri) {
            auto& earlier = pictures_[kept - 1];
            const auto &first = containers_[earlier.container], &second = containers_[pictures_[i].container];
            if (first.kind != second.kind || first.path != second.path)
                throw InputError(
                    fmt::format("'{}' is two pictures, one in {} and one in {}", earlier.uri, first.path.string(),
                                second.path.string()),
                    "give one of the sources a name (NAME=folder:PATH), which then stands before its uris");
            earlier = std::move(pictures_[i]);  // in a shard the later one counts, as tar has it
            ++counts_.repeated;
            continue;
        }
        if (kept != i) pictures_[kept] = std::move(pictures_[i]);
        ++kept;
    }
    pictures_.resize(kept);
}

void Listing::write(const std::filesystem::path& path, std::string_view fingerprint) const {
    storage::publish_hdf5(path, [&](storage::Hdf5File& file) {
        // Column by column, so that only one of them lies in memory beside the listing.
        const auto column = [&]<class T>(const char* name, T pool::ListedPicture::*member) {
            std::vector<T> values;
            values.reserve(pictures_.size());
            for (const auto& picture : pictures_) values.push_back(picture.*member);
            file.write(name, values);
        };
        column("container", &pool::ListedPicture::container);
        column("offset", &pool::ListedPicture::offset);
        column("bytes", &pool::ListedPicture::bytes);
        std::vector<std::uint32_t> lengths;
        std::size_t total = 0;
        for (const auto& picture : pictures_) {
            lengths.push_back(static_cast<std::uint32_t>(picture.uri.size()));
            total += picture.uri.size();
        }
        file.write("uri/lengths", lengths);
        std::vector<std::uint8_t> bytes;
        bytes.reserve(total);
        for (const auto& picture : pictures_) bytes.insert(bytes.end(), picture.uri.begin(), picture.uri.end());
        file.write("uri/bytes", bytes);
        pool::write_containers(file, containers_);
        file.set_attribute("ignored", counts_.ignored);
        file.set_attribute("repeated", counts_.repeated);
        file.set_attribute("without_picture", counts_.without_picture);
        file.set_attribute("fingerprint", fingerprint);
    });
}

ListingFile::ListingFile(const std::filesystem::path& path)
    : file_(storage::Hdf5File::open(path)), containers_(pool::read_containers(file_)) {
    const auto lengths = file_.read<std::uint32_t>("uri/lengths");
    text_begin_.resize(lengths.size() + 1);
    for (std::size_t i = 0; i < lengths.size(); ++i) text_begin_[i + 1] = text_begin_[i] + lengths[i];
}

ListingCounts ListingFile::counts() const {
    const auto count = [&](const char* name) { return static_cast<std::uint64_t>(file_.int_attribute(name)); };
    return {count("ignored"), count("repeated"), count("without_picture")};
}

std::vector<pool::ListedPicture> ListingFile::read(parallel::Slice items) const {
    const auto first = text_begin_[items.begin];
    const auto text = file_.read_rows<std::uint8_t>("uri/bytes", first, text_begin_[items.end] - first);
    const auto containers = file_.read_rows<std::uint32_t>("container", items.begin, items.size());
    const auto offsets = file_.read_rows<std::uint64_t>("offset", items.begin, items.size()),
               bytes = file_.read_rows<std::uint64_t>("bytes", items.begin, items.size());
    std::vector<pool::ListedPicture> pictures(items.size());
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        const auto begin = text_begin_[items.begin + i] - first, end = text_begin_[items.begin + i + 1] - first;
        pictures[i] = {std::string(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                   text.begin() + static_cast<std::ptrdiff_t>(end)),
                       containers[i], offsets[i], bytes[i]};
    }
    return pictures;
}

std::vector<std::pair<SourceSpec, const SourceKind*>> sources_of(const pool::PoolSettings& settings) {
    if (settings.sources.empty())
        throw UsageError("[pool] sources is empty",
                         "name a folder of pictures, for example sources = folder:/data/pictures");
    std::vector<std::pair<SourceSpec, const SourceKind*>> found;
    for (const auto& text : settings.sources) {
        SourceSpec spec;
        std::string_view rest = text;
        const auto colon = rest.find(':'), equals = rest.find('=');
        if (equals != rest.npos && equals < std::min(colon, rest.find('/'))) {
            spec.name = rest.substr(0, equals);
            rest.remove_prefix(equals + 1);
        }
        // A kind is a word before the first colon; a path may hold colons of its own.
        const auto kind_end = rest.find(':');
        const bool has_kind = kind_end != rest.npos && rest.substr(0, kind_end).find('/') == rest.npos &&
                              !std::filesystem::exists(std::filesystem::path(rest));
        spec.kind = has_kind ? rest.substr(0, kind_end) : "folder";
        spec.where = has_kind ? rest.substr(kind_end + 1) : rest;
        const auto* kind = std::find_if(source_kinds.begin(), source_kinds.end(),
                                        [&](const SourceKind& k) { return k.kind == spec.kind; });
        if (kind == source_kinds.end()) {
            std::vector<std::string> names;
            for (const auto& k : source_kinds) names.emplace_back(k.kind);
            throw UsageError(fmt::format("[pool] sources: '{}' is of no known kind", text),
                             "choose from " + join(names, ", "));
        }
        if (spec.where.empty()) throw UsageError(fmt::format("[pool] sources: '{}' names no place", text));
        found.emplace_back(std::move(spec), kind);
    }
    return found;
}

Listing list_sources(const pool::PoolSettings& settings) {
    Listing listing;
    for (const auto& [spec, kind] : sources_of(settings)) kind->list(spec, settings, listing);
    listing.finish();
    if (listing.pictures().empty())
        throw InputError(fmt::format("[pool] sources: no picture in {} ({} other files)", join(settings.sources, ", "),
                                     listing.counts().ignored),
                         "check the paths and [pool] suffixes");
    return listing;
}

bool has_picture_suffix(std::string_view name, const pool::PoolSettings& settings) {
    const auto dot = name.rfind('.');
    if (dot == name.npos) return false;
    const auto suffix = lower_ascii(name.substr(dot + 1));
    return std::find(settings.suffixes.begin(), settings.suffixes.end(), suffix) != settings.suffixes.end();
}

}  // namespace tg::ingest
