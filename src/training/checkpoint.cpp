#include "checkpoint.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

struct Quantity {
    const char* name;
    torch::Tensor (ShardedUnit::*slice)() const;
    void (ShardedUnit::*put)(const torch::Tensor&);
};
constexpr std::array quantities{
    Quantity{"weights", &ShardedUnit::master, &ShardedUnit::set_master},
    Quantity{"first_moment", &ShardedUnit::first_moment, &ShardedUnit::set_first_moment},
    Quantity{"second_moment", &ShardedUnit::second_moment, &ShardedUnit::set_second_moment}};
constexpr std::int64_t format_version = 2;
constexpr auto checksums_name = "checksums";  // u64 [quantities * trained units]

std::int64_t trained_elements(Trainer& trainer) {
    std::int64_t sum = 0;
    for (const auto& unit : trainer.units())
        if (unit->trained()) sum += unit->elements();
    return sum;
}

std::span<const float> floats(const torch::Tensor& host) {
    return {host.data_ptr<float>(), static_cast<std::size_t>(host.numel())};
}

class OpenFile {
public:
    explicit OpenFile(const fs::path& path) : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CLOEXEC)) {
        if (fd_ < 0) fail("opening");
    }
    ~OpenFile() { ::close(fd_); }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    // Room for the whole file now, where the file system can: a full disk is met before anything was written.
    void reserve(std::uint64_t bytes) const {
        if (::fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0 &&
            (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            fail("making room for it");
    }
    // The bytes begin their way to the disk at once, so that the sync at the end finds little left to do.
    void write(std::span<const std::byte> bytes, std::uint64_t at) const {
        const CountedFileWork count(bytes.size());
        const auto first = at;
        const auto length = bytes.size();
        while (!bytes.empty()) {
            const auto written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) fail("writing");
            bytes = bytes.subspan(static_cast<std::size_t>(written));
            at += static_cast<std::uint64_t>(written);
        }
        ::sync_file_range(fd_, static_cast<off_t>(first), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
    }
    void sync() const {
        if (::fsync(fd_) != 0) fail("fsync");
    }

private:
    [[noreturn]] void fail(const char* doing) const {
        const int code = errno;
        throw StorageError(
            fmt::format("{}: {} failed ({})", path_.string(), doing, std::strerror(code)),
            code == ENOSPC || code == EDQUOT ? "free space there, then give the same command again" : "");
    }
    fs::path path_;
    int fd_;
};

}  // namespace

std::uint64_t checkpoint_checksum(std::span<const float> values, std::uint64_t first) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, &values[i], sizeof bits);
        auto x = bits * std::uint64_t{0x9e3779b97f4a7c15} +
                 (first + i) * std::uint64_t{0xd6e8feb86659fd93};  // one to one in `bits`
        x = (x ^ (x >> 32)) * std::uint64_t{0xff51afd7ed558ccd};
        sum += x ^ (x >> 29);
    }
    return sum;
}

// One checkpoint on its way to the disk: the units in their order, which is the order in which the optimiser changes
// them.
class Checkpoints::Writing {
public:
    Writing(std::int64_t step, fs::path file, Trainer& trainer, std::array<std::uint64_t, quantities.size()> offsets,
            std::uint64_t checksums_offset, std::int64_t aside_bytes)
        : step_(step),
          file_(std::move(file)),
          trainer_(trainer),
          offsets_(offsets),
          checksums_offset_(checksums_offset),
          room_(aside_bytes),
          states_(trainer.units().size(), State::waiting),
          aside_(states_.size()) {
        for (const auto& unit : trainer.units()) trained_ += unit->trained();
        checksums_.resize(quantities.size() * trained_);
        trainer_.on_update([this](std::size_t unit) { before_update(unit); });
        thread_ = std::jthread([this](std::stop_token leave) { run(leave); });
    }
    ~Writing() {
        trainer_.on_update({});
        thread_.request_stop();
    }

    std::int64_t step() const { return step_; }
    bool done() const {
        const std::lock_guard lock(mutex_);
        return done_;
    }
    // Throws what failed.
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return done_; });
        if (failure_) std::rethrow_exception(failure_);
    }
    std::vector<std::int64_t>& checksums() { return checksums_; }  // of this rank's slices, bits of u64
    void put_checksums() const {
        const OpenFile out(storage::temporary_name(file_));
        out.write(std::as_bytes(std::span(checksums_)), checksums_offset_);
    }
    const fs::path& file() const { return file_; }

private:
    enum class State { waiting, writing, written };

    void before_update(std::size_t unit) {
        std::unique_lock lock(mutex_);
        if (states_[unit] == State::waiting && aside_[unit].empty() && !done_) {
            const auto& sharded = *trainer_.units()[unit];
            const auto bytes = static_cast<std::int64_t>(sizeof(float) * quantities.size()) * sharded.slice_size();
            if (bytes <= room_) {
                room_ -= bytes;
                for (const auto& quantity : quantities)
                    aside_[unit].push_back(
                        (sharded.*quantity.slice)().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true));
            }
        }
        changed_.wait(lock, [&] { return done_ || states_[unit] == State::written || !aside_[unit].empty(); });
    }

    void run(std::stop_token leave) {
        try {
            write_all(leave);
        } catch (...) {  // not swallowed: wait() throws it
            failure_ = std::current_exception();
        }
        const std::lock_guard lock(mutex_);
        done_ = true;
        changed_.notify_all();
    }

    void write_all(std::stop_token leave) {
        if (trainer_.collectives().replica() != 0) return;  // the first replica holds the same
        const OpenFile out(storage::temporary_name(file_));
        std::uint64_t unit_begin = 0;
        std::size_t row = 0;  // of the checksums
        for (std::size_t u = 0; u < states_.size(); ++u) {
            const auto& unit = *trainer_.units()[u];
            if (!unit.trained()) continue;
            std::vector<torch::Tensor> copies;
            {
                const std::lock_guard lock(mutex_);
                states_[u] = State::writing;
                copies = aside_[u];
            }
            for (std::size_t q = 0; q < quantities.size(); ++q) {
                const auto host = copies.empty() ? (unit.*quantities[q].slice)().cpu() : copies[q];
                const auto first = unit_begin + static_cast<std::uint64_t>(unit.slice_begin());
                checksums_[q * trained_ + row] =
                    static_cast<std::int64_t>(write_slice(out, floats(host), first, offsets_[q], leave));
            }
            const std::lock_guard lock(mutex_);
            states_[u] = State::written;
            if (!copies.empty())
                room_ += static_cast<std::int64_t>(sizeof(float) * quantities.size()) * unit.slice_size();
            copies.clear();
            aside_[u].clear();
            changed_.notify_all();
            unit_begin += static_cast<std::uint64_t>(unit.elements());
            ++row;
        }
        out.sync();
    }

    static std::uint64_t write_slice(const OpenFile& out, std::span<const float> values, std::uint64_t first,
                                     std::uint64_t offset, const std::stop_token& leave) {
        constexpr std::size_t piece = std::size_t{4} << 20;  // elements
        std::uint64_t sum = 0;
        for (std::size_t at = 0; at < values.size(); at += piece) {
            if (leave.stop_requested()) throw Stopped("checkpoint");
            const auto part = values.subspan(at, std::min(piece, values.size() - at));
            sum += checkpoint_checksum(part, first + at);
            out.write(std::as_bytes(part), offset + sizeof(float) * (first + at));
        }
        return sum;
    }

    std::int64_t step_;
    fs::path file_;
    Trainer& trainer_;
    std::array<std::uint64_t, quantities.size()> offsets_;
    std::uint64_t checksums_offset_;
    std::int64_t room_;
    std::size_t trained_ = 0;
    std::vector<std::int64_t> checksums_;
    mutable std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::vector<State> states_;
    std::vector<std::vector<torch::Tensor>> aside_;  // copies of a unit's quantities, taken before it was changed
    bool done_ = false;
    std::exception_ptr failure_;
    std::jthread thread_;  // last: it ends before what it uses
};

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
    std::string listing;
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root() || !fs::exists(folder_)) return;
        for (const auto& entry : fs::directory_iterator(folder_)) {
            const auto name = entry.path().filename().string();
            std::int64_t step = 0;
            if (!name.starts_with("step-") || !name.ends_with(".h5")) continue;
            const auto* end = name.data() + name.size() - 3;
            if (std::from_chars(name.data() + 5, end, step).ptr == end) listing += fmt::format("{} ", step);
        }
    });
    listing = ranks_.broadcast<std::string>(listing);
    std::vector<std::int64_t> found;
    for (const auto* at = listing.data(); at < listing.data() + listing.size(); ++at) {
        std::int64_t step = 0;
        at = std::from_chars(at, listing.data() + listing.size(), step).ptr;
        found.push_back(step);
    }
    std::sort(found.rbegin(), found.rend());
    return found;
}

void Checkpoints::begin(std::int64_t step, Trainer& trainer, const TrainingLog& log) {
    finish();
    const CostPhase phase("checkpoint_begin");
    std::int64_t places[quantities.size() + 1] = {};  // where the datasets begin
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
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
        out.set_attribute("format", format_version);
        out.set_attribute("fingerprint", fingerprint_);
        out.set_attribute("ranks", ranks_.size());
        out.set_attribute("step", step);
        std::uint64_t units = 0;
        for (const auto& unit : trainer.units()) units += unit->trained();
        const std::uint64_t rows[] = {quantities.size() * units}, shape[] = {elements};
        places[quantities.size()] =
            static_cast<std::int64_t>(out.make_flat_dataset(checksums_name, storage::Hdf5Type::u64, rows));
        for (std::size_t q = 0; q < quantities.size(); ++q)
            places[q] =
                static_cast<std::int64_t>(out.make_flat_dataset(quantities[q].name, storage::Hdf5Type::f32, shape));
        out.close();
        OpenFile(temporary).reserve(fs::file_size(temporary));
    });
    ranks_.all_reduce_sum(places);  // all but rank 0's are zero
    std::array<std::uint64_t, quantities.size()> offsets;
    std::copy_n(places, offsets.size(), offsets.begin());
    writing_ = std::make_unique<Writing>(step, file(step), trainer, offsets, places[offsets.size()], aside_bytes_);
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
    std::vector<std::int64_t> sums;
    std::vector<std::uint64_t> wanted_sums;
    parallel::together(ranks_, [&] {
        const auto in = storage::Hdf5File::open(file(step));
        const auto wanted = static_cast<std::uint64_t>(trained_elements(trainer));
        if (in.int_attribute("format") != format_version)
            throw StorageError(fmt::format("{} has format {}", name, in.int_attribute("format")));
        if (in.text_attribute("fingerprint") != fingerprint_)
            throw StorageError(fmt::format("{} belongs to other settings or data", name));
        wanted_sums = in.read<std::uint64_t>(checksums_name);
        for (const auto& quantity : quantities) {
            if (in.rows(quantity.name) != wanted)
                throw StorageError(fmt::format("{}: {} has {} elements instead of {}", name, quantity.name,
                                               in.rows(quantity.name), wanted));
            std::uint64_t unit_begin = 0;
            for (const auto& unit : trainer.units()) {
                if (!unit->trained()) continue;
                const auto host = torch::empty({unit->slice_size()}, torch::kFloat32);
                const auto first = unit_begin + static_cast<std::uint64_t>(unit->slice_begin());
                in.read_rows_into(quantity.name, first, static_cast<std::uint64_t>(host.numel()),
                                  std::span<float>(host.data_ptr<float>(), static_cast<std::size_t>(host.numel())));
                sums.push_back(trainer.collectives().replica() == 0
                                   ? static_cast<std::int64_t>(checkpoint_checksum(floats(host), first))
                                   : 0);
                (unit.get()->*quantity.put)(host);
                unit_begin += static_cast<std::uint64_t>(unit->elements());
            }
        }
        log.read(in, "log/");
        if (static_cast<std::int64_t>(log.rows().size()) > in.int_attribute("step"))
            throw StorageError(fmt::format("{}: its log is longer than its training", name));
    });
    ranks_.all_reduce_sum(std::span(sums));
    parallel::together(ranks_, [&] {
        if (!std::equal(sums.begin(), sums.end(), wanted_sums.begin(), wanted_sums.end(),
                        [](std::int64_t a, std::uint64_t b) { return static_cast<std::uint64_t>(a) == b; }))
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
