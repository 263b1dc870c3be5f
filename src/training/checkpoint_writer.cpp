#include "checkpoint_writer.hpp"

#include <algorithm>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::training {

namespace {

// Of a unit's slice, in all quantities.
std::int64_t slice_bytes(const ShardedUnit& unit) {
    return static_cast<std::int64_t>(sizeof(float) * quantities.size()) * unit.slice_size();
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::filesystem::path file, Trainer& trainer, const CheckpointPlaces& places,
                                   std::int64_t room)
    : file_(std::move(file)),
      trainer_(trainer),
      places_(places),
      room_(room),
      states_(trainer.units().size(), State::waiting),
      aside_(states_.size()) {
    for (const auto& unit : trainer.units()) trained_ += unit->trained();
    checksums_.resize(quantities.size() * trained_);
    trainer_.on_update([this](std::size_t unit) { before_update(unit); });
    thread_ = std::jthread([this](const std::stop_token& leave) { run(leave); });
}

CheckpointWriter::~CheckpointWriter() {
    trainer_.on_update({});
    thread_.request_stop();
}

bool CheckpointWriter::done() const {
    const std::lock_guard lock(mutex_);
    return done_;
}

void CheckpointWriter::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    if (failure_) std::rethrow_exception(failure_);
}

void CheckpointWriter::put_checksums() const {
    SharedFile(storage::temporary_name(file_)).write(std::as_bytes(std::span(checksums_)), places_.checksums);
}

void CheckpointWriter::before_update(std::size_t unit) {
    std::unique_lock lock(mutex_);
    const auto& sharded = *trainer_.units()[unit];
    if (states_[unit] == State::waiting && aside_[unit].empty() && !done_ && slice_bytes(sharded) <= room_) {
        room_ -= slice_bytes(sharded);
        for (const auto& quantity : quantities)
            aside_[unit].push_back((sharded.*quantity.slice)().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true));
    }
    changed_.wait(lock, [&] { return done_ || states_[unit] == State::written || !aside_[unit].empty(); });
}

void CheckpointWriter::run(const std::stop_token& leave) {
    try {
        write_all(leave);
    } catch (...) {  // not swallowed: wait() throws it
        failure_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
}

void CheckpointWriter::write_all(const std::stop_token& leave) {
    if (trainer_.collectives().replica() != 0) return;  // the first replica holds the same
    const SharedFile out(storage::temporary_name(file_));
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
            const std::span values(host.data_ptr<float>(), static_cast<std::size_t>(host.numel()));
            checksums_[q * trained_ + row] =
                static_cast<std::int64_t>(write_slice(out, values, first, places_.quantity[q], leave));
        }
        const std::lock_guard lock(mutex_);
        states_[u] = State::written;
        if (!copies.empty()) room_ += slice_bytes(unit);
        copies.clear();
        aside_[u].clear();
        changed_.notify_all();
        unit_begin += static_cast<std::uint64_t>(unit.elements());
        ++row;
    }
    out.sync();
}

std::uint64_t CheckpointWriter::write_slice(const SharedFile& out, std::span<const float> values, std::uint64_t first,
                                            std::uint64_t place, const std::stop_token& leave) const {
    constexpr std::size_t piece = std::size_t{4} << 20;  // elements
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < values.size(); at += piece) {
        if (leave.stop_requested()) throw Stopped("checkpoint");
        const auto part = values.subspan(at, std::min(piece, values.size() - at));
        sum += checkpoint_checksum(part, first + at);
        out.write(std::as_bytes(part), place + sizeof(float) * (first + at));
    }
    return sum;
}

}  // namespace tg::training
