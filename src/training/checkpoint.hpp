// Checkpoints of training: RUN/checkpoints/step-N.h5, one flat array a quantity (weights, both moments), indexed over
// all units in their order, so that any number of ranks reads what any other wrote. The position in the data and the
// order of the samples are functions of the step and the seed, so the step is all that needs to be kept of them.
// Writing goes on behind training: every rank has a thread that writes its slices into its own places of the common
// file, straight from the state while forward and backward only read it. A unit that the optimiser is about to change
// is copied aside before, as far as the room given for that allows; beyond it the optimiser waits for the disk. So a
// save takes a bounded amount of memory. A file under its final name is complete. Its datasets carry checksums that do
// not depend on how the ranks cut them; they are verified as it is read, and the one before is used, with a warning
// that names the broken one, when they fail.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint_format.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "trainer.hpp"
#include "training_log.hpp"

namespace tg::training {

class CheckpointWriter;

class Checkpoints {
public:
    // `fingerprint`: of everything that decides the run; checkpoints of another are removed. `aside_bytes`: room of
    // this rank for copies.
    Checkpoints(std::filesystem::path folder, std::string fingerprint, int keep, const parallel::Communicator& ranks,
                std::int64_t aside_bytes = std::int64_t{256} << 20);
    ~Checkpoints();  // what is not finished is dropped

    // Begins to write the state after `step` steps (the next is `step`); one that is under way is finished first.
    // `trainer` must stay until it is finished. Collective, as all that follow.
    void begin(std::int64_t step, Trainer& trainer, const TrainingLog& log);
    // Publishes what all ranks have written, keeping the last `keep` files. False: still under way.
    bool poll();
    void finish();  // waits for it
    void write(std::int64_t step, Trainer& trainer, const TrainingLog& log) { begin(step, trainer, log), finish(); }

    // The newest whole one; returns the steps done (0: none, nothing changed).
    std::int64_t read_newest(Trainer& trainer, TrainingLog& log) const;
    void remove_all();  // training is complete

private:
    std::vector<std::int64_t> steps() const;  // newest first; rank 0's listing
    std::filesystem::path file(std::int64_t step) const;
    // On rank 0: the file of a new one under its temporary name, all but the state in it.
    CheckpointPlaces make_file(std::int64_t step, Trainer& trainer, const TrainingLog& log) const;
    void remove_foreign() const;
    std::int64_t read(std::int64_t step, Trainer& trainer, TrainingLog& log) const;

    std::filesystem::path folder_;
    std::string fingerprint_;
    int keep_;
    const parallel::Communicator& ranks_;
    std::int64_t aside_bytes_;
    std::unique_ptr<CheckpointWriter> writing_;
};

}  // namespace tg::training
