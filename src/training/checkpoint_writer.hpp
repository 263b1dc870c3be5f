// One checkpoint on its way to the disk, behind training: a thread of this rank writes its slices into their places of
// the common file, unit by unit in the order in which the optimiser changes them. It reads the state itself while
// nothing changes it; a unit that the optimiser is about to change is copied aside before, while there is room, else
// the optimiser waits until it is written.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "checkpoint_format.hpp"
#include "trainer.hpp"

namespace tg::training {

class CheckpointWriter {
public:
    // Begins at once. `file`: its final name; it is there under its temporary one. `room`: bytes for copies. `trainer`
    // must stay until this is gone, which drops what is not done.
    CheckpointWriter(std::filesystem::path file, Trainer& trainer, const CheckpointPlaces& places, std::int64_t room);
    ~CheckpointWriter();

    bool done() const;
    void wait();  // throws what failed
    const std::filesystem::path& file() const { return file_; }
    // When done: of this rank's slices, bits of u64; the caller adds them up over the ranks, and one rank writes them.
    std::vector<std::int64_t>& checksums() { return checksums_; }
    void put_checksums() const;

private:
    enum class State { waiting, writing, written };

    void before_update(std::size_t unit);
    void run(const std::stop_token& leave);
    void write_all(const std::stop_token& leave);
    std::uint64_t write_slice(const SharedFile& out, std::span<const float> values, std::uint64_t first,
                              std::uint64_t place, const std::stop_token& leave) const;

    std::filesystem::path file_;
    Trainer& trainer_;
    CheckpointPlaces places_;
    std::int64_t room_;
    std::size_t trained_ = 0;  // units
    std::vector<std::int64_t> checksums_;
    mutable std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::vector<State> states_;
    std::vector<std::vector<torch::Tensor>> aside_;  // copies of a unit's quantities, taken before it was changed
    bool done_ = false;
    std::exception_ptr failure_;
    std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace tg::training
