#include "taskgalaxy/storage/parts.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <optional>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::storage {
namespace {

constexpr auto fingerprint_attribute = "fingerprint";

// The part number of a finished part's file name ("00000042.h5").
std::optional<std::uint64_t> part_number(const std::filesystem::path& file) {
    const auto stem = file.stem().string();
    if (file.extension() != ".h5" || stem.empty() || stem.find_first_not_of("0123456789") != stem.npos)
        return std::nullopt;
    return std::stoull(stem);
}

bool usable(const std::filesystem::path& file, const std::string& fingerprint) {
    try {
        return Hdf5File::open(file).text_attribute(fingerprint_attribute) == fingerprint;
    } catch (const StorageError& error) {
        log::warn("an unreadable part is done again: {}", error.what());
        return false;
    }
}

}  // namespace

PartStore::PartStore(std::filesystem::path folder, parallel::Parts parts, std::string fingerprint,
                     const parallel::Communicator& ranks)
    : folder_(std::move(folder)), parts_(parts), fingerprint_(std::move(fingerprint)), ranks_(ranks) {
    // Only rank 0 looks at the folder: a thousand ranks listing it would load the metadata server, and might see
    // different things.
    std::vector<std::byte> done_bytes;
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        std::error_code error;
        std::filesystem::create_directories(folder_, error);
        if (error)
            throw StorageError(fmt::format("{}: the folder cannot be made ({})", folder_.string(), error.message()));
        done_bytes.assign(parts_.count(), std::byte{0});
        std::vector<std::filesystem::path> useless;
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
            const auto number = part_number(entry.path());
            if (number && *number < parts_.count() && usable(entry.path(), fingerprint_))
                done_bytes[*number] = std::byte{1};
            else useless.push_back(entry.path());
        }
        for (const auto& file : useless) std::filesystem::remove_all(file);
    });
    ranks_.broadcast_bytes(done_bytes);
    for (std::uint64_t part = 0; part < parts_.count(); ++part)
        if (done_bytes[part] == std::byte{0}) missing_.push_back(part);
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

std::filesystem::path PartStore::path(std::uint64_t part) const { return folder_ / fmt::format("{:08}.h5", part); }

void PartStore::write(std::uint64_t part, const std::function<void(Hdf5File&)>& fill) const {
    publish_hdf5(path(part), [&](Hdf5File& file) {
        fill(file);
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
        if (ranks_.is_root() && parts_.count() > 0) schema = Hdf5File::open(path(0)).datasets();
        for (auto part = slice.begin; part < slice.end; ++part)
            for (const auto& set : Hdf5File::open(path(part)).datasets()) my_rows[set.name].push_back(set.shape.at(0));
    });
    std::string text;
    for (const auto& set : schema) {
        text += fmt::format("{}\n{}", set.name, static_cast<int>(set.type));
        for (std::size_t d = 1; d < set.shape.size(); ++d) text += fmt::format(" {}", set.shape[d]);
        text += '\n';
    }
    text = ranks_.broadcast<std::string>(std::move(text));

    publish_hdf5_together(final_name, ranks_, [&](Hdf5File& out) {
        const auto most_parts = static_cast<std::uint64_t>(ranks_.max(static_cast<std::int64_t>(slice.size())));
        std::size_t at = 0;
        const auto line = [&] {
            const auto end = text.find('\n', at);
            auto found = text.substr(at, end - at);
            at = end + 1;
            return found;
        };
        while (at < text.size()) {
            const auto name = line();
            const auto numbers = line();
            std::vector<std::uint64_t> shape{0};
            char* cursor = const_cast<char*>(numbers.c_str());
            const auto type = static_cast<Hdf5Type>(std::strtol(cursor, &cursor, 10));
            while (*cursor != '\0') shape.push_back(std::strtoull(cursor, &cursor, 10));
            const auto& rows = my_rows[name];
            std::int64_t mine = 0;
            for (const auto count : rows) mine += static_cast<std::int64_t>(count);
            auto first = static_cast<std::uint64_t>(ranks_.sum_before(mine));
            shape[0] = static_cast<std::uint64_t>(ranks_.sum(mine));
            out.make_dataset(name, type, shape);
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
            switch (type) {
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
