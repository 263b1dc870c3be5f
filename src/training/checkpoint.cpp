#include "checkpoint.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg {

namespace fs = std::filesystem;

namespace {

struct Quantity {
    const char* name;
    torch::Tensor (ShardedUnit::*slice)() const;
    void (ShardedUnit::*put)(const torch::Tensor&);
};
constexpr std::array quantities{Quantity{"weights", &ShardedUnit::master, &ShardedUnit::set_master}, Quantity{"first_moment", &ShardedUnit::first_moment, &ShardedUnit::set_first_moment},
                                Quantity{"second_moment", &ShardedUnit::second_moment, &ShardedUnit::set_second_moment}};
constexpr std::int64_t format_version = 1;

std::int64_t trained_elements(Trainer& trainer) {
    std::int64_t sum = 0;
    for (const auto& unit : trainer.units())
        if (unit->trained()) sum += unit->elements();
    return sum;
}

}  // namespace

Checkpoints::Checkpoints(fs::path folder, std::string fingerprint, int keep, const Communicator& ranks) : folder_(std::move(folder)), fingerprint_(std::move(fingerprint)), keep_(keep), ranks_(ranks) {}

fs::path Checkpoints::file(std::int64_t step) const { return folder_ / fmt::format("step-{:08}.h5", step); }

std::vector<std::int64_t> Checkpoints::steps() const {
    std::string listing;
    together(ranks_, [&] {
        if (!ranks_.is_root() || !fs::exists(folder_)) return;
        for (const auto& entry : fs::directory_iterator(folder_)) {
            const auto name = entry.path().filename().string();
            std::int64_t step = 0;
            if (!name.starts_with("step-") || !name.ends_with(".h5")) continue;
            const auto* end = name.data() + name.size() - 3;
            if (std::from_chars(name.data() + 5, end, step).ptr == end) listing += fmt::format("{} ", step);
        }
    });
    listing = ranks_.broadcast_text(listing);
    std::vector<std::int64_t> found;
    for (const auto* at = listing.data(); at < listing.data() + listing.size(); ++at) {
        std::int64_t step = 0;
        at = std::from_chars(at, listing.data() + listing.size(), step).ptr;
        found.push_back(step);
    }
    std::sort(found.rbegin(), found.rend());
    return found;
}

void Checkpoints::write(std::int64_t step, Trainer& trainer, const TrainingLog& log) const {
    const CostPhase phase("checkpoint_write");
    together(ranks_, [&] {
        if (ranks_.is_root()) fs::create_directories(folder_);
    });
    publish_hdf5_together(file(step), ranks_, [&](Hdf5File& out) {
        const std::uint64_t shape[] = {static_cast<std::uint64_t>(trained_elements(trainer))};
        for (const auto& quantity : quantities) {
            out.make_dataset(quantity.name, Hdf5Type::f32, shape);
            std::uint64_t unit_begin = 0;
            for (const auto& unit : trainer.units()) {
                if (!unit->trained()) continue;
                const auto slice = (unit.get()->*quantity.slice)().cpu();
                const std::span<const float> values(slice.data_ptr<float>(), static_cast<std::size_t>(slice.numel()));
                out.write_rows(quantity.name, unit_begin + static_cast<std::uint64_t>(unit->slice_begin()), values.size(), values);
                unit_begin += static_cast<std::uint64_t>(unit->elements());
            }
        }
        log.write(out, "log/", ranks_.is_root());
        out.set_attribute("format", format_version);
        out.set_attribute("fingerprint", fingerprint_);
        out.set_attribute("ranks", ranks_.size());
        out.set_attribute("step", step);
    });
    const auto all = steps();
    together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        for (std::size_t i = static_cast<std::size_t>(keep_); i < all.size(); ++i) fs::remove(file(all[i]));
    });
}

std::int64_t Checkpoints::read(std::int64_t step, Trainer& trainer, TrainingLog& log) const {
    const CostPhase phase("checkpoint_read");
    together(ranks_, [&] {
        const auto in = Hdf5File::open(file(step));
        const auto wanted = static_cast<std::uint64_t>(trained_elements(trainer));
        if (in.int_attribute("format") != format_version) throw StorageError(fmt::format("{} has format {}", file(step).string(), in.int_attribute("format")));
        if (in.text_attribute("fingerprint") != fingerprint_) throw StorageError(fmt::format("{} belongs to other settings or data", file(step).string()));
        for (const auto& quantity : quantities) {
            if (in.rows(quantity.name) != wanted) throw StorageError(fmt::format("{}: {} has {} elements instead of {}", file(step).string(), quantity.name, in.rows(quantity.name), wanted));
            std::uint64_t unit_begin = 0;
            for (const auto& unit : trainer.units()) {
                if (!unit->trained()) continue;
                auto host = torch::empty({unit->slice_size()}, torch::kFloat32);
                in.read_rows_into(quantity.name, unit_begin + static_cast<std::uint64_t>(unit->slice_begin()), static_cast<std::uint64_t>(host.numel()), std::span<float>(host.data_ptr<float>(), static_cast<std::size_t>(host.numel())));
                (unit.get()->*quantity.put)(host);
                unit_begin += static_cast<std::uint64_t>(unit->elements());
            }
        }
        log.read(in, "log/");
        if (static_cast<std::int64_t>(log.rows().size()) > in.int_attribute("step")) throw StorageError(fmt::format("{}: its log is longer than its training", file(step).string()));
    });
    trainer.publish_weights();
    return step;
}

void Checkpoints::remove_foreign() const {
    const auto all = steps();
    together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        for (const auto step : all) {
            try {
                const auto in = Hdf5File::open(file(step));
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
        } catch (const AgreedFailure& failure) {  // agreed: every rank goes to the one before
            if (ranks_.is_root()) log::warn("checkpoint {} cannot be used: {}", file(step).filename().string(), failure.what());
        }
    }
    if (!all.empty()) throw StorageError(fmt::format("none of the {} checkpoints in {} can be used", all.size(), folder_.string()), "remove the folder to train from the start");
    return 0;
}

void Checkpoints::remove_all() const {
    together(ranks_, [&] {
        if (ranks_.is_root()) fs::remove_all(folder_);
    });
}

}  // namespace tg
