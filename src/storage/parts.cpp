#include "taskgalaxy/storage/parts.hpp"

#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::storage {
namespace {

constexpr auto fingerprint_attribute = "fingerprint";

constexpr std::string_view of_part_alone = "part/";  // datasets that are not gathered
constexpr auto first_attribute = "first_item", end_attribute = "end_item";

std::string file_name(parallel::Slice items) { return fmt::format("{:012}-{:012}.h5", items.begin, items.end); }

// The items of a finished part of these inputs, as the file itself says.
std::optional<parallel::Slice> usable_part(const std::filesystem::path& file, const std::string& fingerprint) {
    try {
        const auto part = Hdf5File::open(file);
        if (!part.has_attribute(first_attribute) || part.text_attribute(fingerprint_attribute) != fingerprint)
            return std::nullopt;
        const parallel::Slice items{static_cast<std::uint64_t>(part.int_attribute(first_attribute)),
                                    static_cast<std::uint64_t>(part.int_attribute(end_attribute))};
        return file.filename() == file_name(items) ? std::optional(items) : std::nullopt;
    } catch (const StorageError& error) {
        log::warn("an unreadable part is done again: {}", error.what());
        return std::nullopt;
    }
}

std::vector<DatasetInfo> gathered_datasets(const std::filesystem::path& part) {
    auto sets = Hdf5File::open(part).datasets();
    std::erase_if(sets, [](const DatasetInfo& set) { return set.name.starts_with(of_part_alone); });
    return sets;
}

}  // namespace

PartStore::PartStore(std::filesystem::path folder, parallel::Cut cut, std::string fingerprint,
                     const parallel::Communicator& ranks)
    : folder_(std::move(folder)), parts_(cut), fingerprint_(std::move(fingerprint)), ranks_(ranks) {
    // Only rank 0 looks at the folder: a thousand ranks listing it would load the metadata server, and might see
    // different things.
    std::vector<parallel::Slice> done;
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        std::error_code error;
        std::filesystem::create_directories(folder_, error);
        if (error)
            throw StorageError(fmt::format("{}: the folder cannot be made ({})", folder_.string(), error.message()));
        std::vector<std::filesystem::path> files;
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) files.push_back(entry.path());
        for (const auto& file : files)
            if (const auto items = file.extension() == ".h5" ? usable_part(file, fingerprint_) : std::nullopt)
                done.push_back(*items);
        // What the tiling has no place for goes too.
        const parallel::Tiling parts(cut, done);
        std::set<std::string> kept;
        for (std::uint64_t part = 0; part < parts.count(); ++part)
            if (parts.is_done(part)) kept.insert(file_name(parts.part(part)));
        for (const auto& file : files)
            if (!kept.contains(file.filename().string())) std::filesystem::remove_all(file);
    });
    parts_ = parallel::Tiling(cut, ranks_.broadcast(std::move(done)));
    for (std::uint64_t part = 0; part < parts_.count(); ++part)
        if (!parts_.is_done(part)) missing_.push_back(part);
}

std::vector<std::uint64_t> PartStore::mine() const {
    std::vector<std::uint64_t> out;
    for (std::size_t i = static_cast<std::size_t>(ranks_.rank()); i < missing_.size();
         i += static_cast<std::size_t>(ranks_.size()))
        out.push_back(missing_[i]);
    return out;
}

std::uint64_t PartStore::items_missing_here() const {
    std::uint64_t items = 0;
    for (const auto part : mine()) items += parts_.part(part).size();
    return items;
}

std::filesystem::path PartStore::path(std::uint64_t part) const { return folder_ / file_name(parts_.part(part)); }

void PartStore::write(std::uint64_t part, const std::function<void(Hdf5File&)>& fill) const {
    publish_hdf5(path(part), [&](Hdf5File& file) {
        fill(file);
        file.set_attribute(first_attribute, parts_.part(part).begin);
        file.set_attribute(end_attribute, parts_.part(part).end);
        file.set_attribute(fingerprint_attribute, fingerprint_);
    });
}

void PartStore::gather(const std::filesystem::path& final_name, const std::function<void(Hdf5File&)>& finish) const {
    const CostPhase phase("gather");
    const auto slice = parallel::slice_of(parts_.count(), static_cast<std::uint64_t>(ranks_.rank()),
                                          static_cast<std::uint64_t>(ranks_.size()));
    // What is in a part, and how many rows each of mine adds to each dataset. A rank without parts learns the names
    // from rank 0.
    std::map<std::string, std::vector<std::uint64_t>> my_rows;
    std::vector<DatasetInfo> schema;
    parallel::together(ranks_, [&] {
        if (ranks_.is_root() && parts_.count() > 0) schema = gathered_datasets(path(0));
        for (auto part = slice.begin; part < slice.end; ++part) {
            if (!usable_part(path(part), fingerprint_))
                throw StorageError(fmt::format("{}: this part is gone or another one", path(part).string()),
                                   "give the same command again; it is done again");
            for (const auto& set : gathered_datasets(path(part))) my_rows[set.name].push_back(set.shape.at(0));
        }
    });
    schema = ranks_.broadcast(std::move(schema));

    publish_hdf5_together(final_name, ranks_, [&](Hdf5File& out) {
        const auto most_parts = static_cast<std::uint64_t>(ranks_.max(static_cast<std::int64_t>(slice.size())));
        for (auto& set : schema) {
            const auto& name = set.name;
            const auto& rows = my_rows[name];
            std::int64_t mine = 0;
            for (const auto count : rows) mine += static_cast<std::int64_t>(count);
            auto first = static_cast<std::uint64_t>(ranks_.sum_before(mine));
            set.shape.at(0) = static_cast<std::uint64_t>(ranks_.sum(mine));
            out.make_dataset(name, set.type, set.shape);
            const auto copy = [&]<class T>(T) {
                // Filtered datasets take collective writes only, so every rank takes part in every round, with or
                // without a part.
                for (std::uint64_t round = 0; round < most_parts; ++round) {
                    std::vector<T> values;
                    std::uint64_t count = 0;
                    std::exception_ptr failure;
                    try {
                        if (round < rows.size()) {
                            count = rows[round];
                            values = Hdf5File::open(path(slice.begin + round)).read_rows<T>(name, 0, count);
                        }
                    } catch (...) {  // agreed on below, before the next collective
                        failure = std::current_exception();
                    }
                    parallel::agree(ranks_, failure);
                    out.write_rows(name, first, count, std::span<const T>(values));
                    first += count;
                }
            };
            switch (set.type) {
                case Hdf5Type::i8: copy(std::int8_t{}); break;
                case Hdf5Type::u8: copy(std::uint8_t{}); break;
                case Hdf5Type::i16: copy(std::int16_t{}); break;
                case Hdf5Type::u16: copy(std::uint16_t{}); break;
                case Hdf5Type::i32: copy(std::int32_t{}); break;
                case Hdf5Type::u32: copy(std::uint32_t{}); break;
                case Hdf5Type::i64: copy(std::int64_t{}); break;
                case Hdf5Type::u64: copy(std::uint64_t{}); break;
                case Hdf5Type::f32: copy(float{}); break;
                case Hdf5Type::f64: copy(double{}); break;
            }
        }
        out.set_attribute(fingerprint_attribute, fingerprint_);
        if (finish) finish(out);
    });
    parallel::together(ranks_, [&] {
        if (ranks_.is_root()) std::filesystem::remove_all(folder_);
    });
}

void for_each_part(const PartStore& store, const parallel::Communicator& ranks, const std::string& stage,
                   const std::string& unit,
                   const std::function<void(std::uint64_t part, parallel::Slice items, Hdf5File& out)>& work) {
    bool stopped = false;
    parallel::together(ranks, [&] {
        Progress progress(stage, store.items_missing_here(), unit);
        for (const auto part : store.mine()) {
            if (stop_requested()) {
                stopped = true;
                return;
            }
            const auto items = store.parts().part(part);
            store.write(part, [&](Hdf5File& out) { work(part, items, out); });
            progress.add(items.size());
        }
    });
    if (ranks.any(stopped)) throw parallel::AgreedFailure(ExitCode::requeue, 0, Stopped(stage).what());
}

}  // namespace tg::storage
