#include "checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include <fmt/format.h>

#include "checkpoint_writer.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

std::int64_t trained_elements(Trainer& trainer) {
    std::int64_t sum = 0;
    for (const auto& unit : trainer.units())
        if (unit->trained()) sum += unit->elements();
    return sum;
}

// Of "step-00000012.h5": 12.
std::optional<std::int64_t> step_of(std::string_view name) {
    if (!name.starts_with("step-") || !name.ends_with(".h5")) return {};
    const auto number = name.substr(5, name.size() - 8);
    std::int64_t step = 0;
    const auto* end = number.data() + number.size();
    const auto [at, error] = std::from_chars(number.data(), end, step);
    return error == std::errc{} && at == end ? std::optional(step) : std::nullopt;
}

// This rank's slices of every trained unit, and their checksums behind `sums`: those of one replica, since all have the
// same.
void read_quantity(const storage::Hdf5File& in, const Quantity& quantity, Trainer& trainer,
                   std::vector<std::int64_t>& sums) {
    const bool counts = trainer.collectives().replica() == 0;
    std::uint64_t unit_begin = 0;
    for (const auto& unit : trainer.units()) {
        if (!unit->trained()) continue;
        const auto host = torch::empty({unit->slice_size()}, torch::kFloat32);
        const std::span values(host.data_ptr<float>(), static_cast<std::size_t>(host.numel()));
        const auto first = unit_begin + static_cast<std::uint64_t>(unit->slice_begin());
        in.read_rows_into(quantity.name, first, static_cast<std::uint64_t>(host.numel()), values);
        sums.push_back(counts ? static_cast<std::int64_t>(checkpoint_checksum(values, first)) : 0);
        (unit.get()->*quantity.put)(host);
        unit_begin += static_cast<std::uint64_t>(unit->elements());
    }
}

}  // namespace

Checkpoints::Checkpoints(fs::path folder, std::string fingerprint, int keep, const parallel::Communicator& ranks,
                         std::int64_t aside_bytes)
    : folder_(std::move(folder)),
      fingerprint_(std::move(fingerprint)),
      keep_(keep),
      ranks_(ranks),
      aside_bytes_(aside_bytes) {}
Checkpoints::~Checkpoints() = default;

fs::path Checkpoints::file(std::int64_t step) const { return folder_ / fmt::format("step-{:08}.h5", step); }

std::vector<std::int64_t> Checkpoints::steps() const {
    std::vector<std::int64_t> found;
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root() || !fs::exists(folder_)) return;
        for (const auto& entry : fs::directory_iterator(folder_))
            if (const auto step = step_of(entry.path().filename().string())) found.push_back(*step);
    });
    std::ranges::sort(found, std::greater{});
    return ranks_.broadcast(std::move(found));
}

void Checkpoints::begin(std::int64_t step, Trainer& trainer, const TrainingLog& log) {
    finish();
    const CostPhase phase("checkpoint_begin");
    CheckpointPlaces places;
    parallel::together(ranks_, [&] {
        if (ranks_.is_root()) places = make_file(step, trainer, log);
    });
    places = ranks_.broadcast(places);
    writing_ = std::make_unique<CheckpointWriter>(file(step), trainer, places, aside_bytes_);
}

CheckpointPlaces Checkpoints::make_file(std::int64_t step, Trainer& trainer, const TrainingLog& log) const {
    const auto elements = static_cast<std::uint64_t>(trained_elements(trainer)),
               bytes = sizeof(float) * quantities.size() * elements;
    fs::create_directories(folder_);
    const auto temporary = storage::temporary_name(file(step));
    // HDF5 itself must not meet a full disk: it cannot close the file then.
    if (const auto free = fs::space(folder_).available; free < bytes + (std::uint64_t{16} << 20))
        throw StorageError(fmt::format("{}: a checkpoint needs {} MiB and {} are free", folder_.string(),
                                       (bytes >> 20) + 16, free >> 20),
                           "free space there, then give the same command again");
    auto out = storage::Hdf5File::create_flat(temporary);
    log.write(out, "log/");
    out.set_attribute("format", checkpoint_format);
    out.set_attribute("fingerprint", fingerprint_);
    out.set_attribute("ranks", ranks_.size());
    out.set_attribute("step", step);
    std::uint64_t units = 0;
    for (const auto& unit : trainer.units()) units += unit->trained();
    const std::uint64_t rows[] = {quantities.size() * units}, shape[] = {elements};
    CheckpointPlaces places;
    places.checksums = out.make_flat_dataset(checksums_name, storage::Hdf5Type::u64, rows);
    for (std::size_t q = 0; q < quantities.size(); ++q)
        places.quantity[q] = out.make_flat_dataset(quantities[q].name, storage::Hdf5Type::f32, shape);
    out.close();
    SharedFile(temporary).reserve(fs::file_size(temporary));
    return places;
}

bool Checkpoints::poll() {
    if (!writing_) return true;
    if (ranks_.any(!writing_->done())) return false;
    finish();
    return true;
}

void Checkpoints::finish() {
    if (!writing_) return;
    const CostPhase phase("checkpoint_write");
    const auto writing = std::move(writing_);
    parallel::together(ranks_, [&] { writing->wait(); });
    ranks_.all_reduce_sum(std::span(writing->checksums()));  // of bits: sums modulo 2^64
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        writing->put_checksums();
        storage::publish(writing->file());
    });
    const auto all = steps();
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        for (std::size_t i = static_cast<std::size_t>(keep_); i < all.size(); ++i) fs::remove(file(all[i]));
    });
}

std::int64_t Checkpoints::read(std::int64_t step, Trainer& trainer, TrainingLog& log) const {
    const CostPhase phase("checkpoint_read");
    const auto name = file(step).string();
    std::vector<std::int64_t> sums;  // bits of u64
    std::vector<std::uint64_t> wanted_sums;
    parallel::together(ranks_, [&] {
        const auto in = storage::Hdf5File::open(file(step));
        const auto wanted = static_cast<std::uint64_t>(trained_elements(trainer));
        if (in.int_attribute("format") != checkpoint_format)
            throw StorageError(fmt::format("{} has format {}", name, in.int_attribute("format")));
        if (in.text_attribute("fingerprint") != fingerprint_)
            throw StorageError(fmt::format("{} belongs to other settings or data", name));
        wanted_sums = in.read<std::uint64_t>(checksums_name);
        for (const auto& quantity : quantities) {
            if (in.rows(quantity.name) != wanted)
                throw StorageError(fmt::format("{}: {} has {} elements instead of {}", name, quantity.name,
                                               in.rows(quantity.name), wanted));
            read_quantity(in, quantity, trainer, sums);
        }
        log.read(in, "log/");
        if (static_cast<std::int64_t>(log.rows().size()) > in.int_attribute("step"))
            throw StorageError(fmt::format("{}: its log is longer than its training", name));
    });
    ranks_.all_reduce_sum(std::span(sums));
    parallel::together(ranks_, [&] {
        if (!std::ranges::equal(sums, wanted_sums, {},
                                [](std::int64_t bits) { return static_cast<std::uint64_t>(bits); }))
            throw StorageError(fmt::format("{}: its checksums do not fit its content", name));
    });
    trainer.publish_weights();
    return step;
}

void Checkpoints::remove_foreign() const {
    const auto all = steps();
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root() || !fs::exists(folder_)) return;
        for (const auto& entry : fs::directory_iterator(folder_))
            if (entry.path().extension() == ".tmp") fs::remove(entry.path());  // of a run that was killed as it wrote
        for (const auto step : all) {
            try {
                const auto in = storage::Hdf5File::open(file(step));
                if (in.text_attribute("fingerprint") == fingerprint_) continue;
            } catch (const StorageError&) {  // broken, not foreign: read_newest() says so
                continue;
            }
            log::warn("checkpoint {} belongs to other settings or data: removed", file(step).filename().string());
            fs::remove(file(step));
        }
    });
}

std::int64_t Checkpoints::read_newest(Trainer& trainer, TrainingLog& log) const {
    remove_foreign();
    const auto all = steps();
    for (const auto step : all) {
        try {
            return read(step, trainer, log);
        } catch (const parallel::AgreedFailure& failure) {  // agreed: every rank goes to the one before
            if (ranks_.is_root())
                log::warn("checkpoint {} cannot be used: {}", file(step).filename().string(), failure.what());
        }
    }
    if (!all.empty())
        throw StorageError(fmt::format("none of the {} checkpoints in {} can be used", all.size(), folder_.string()),
                           "remove the folder to train from the start");
    return 0;
}

void Checkpoints::remove_all() {
    writing_.reset();
    parallel::together(ranks_, [&] {
        if (ranks_.is_root()) fs::remove_all(folder_);
    });
}

}  // namespace tg::training
