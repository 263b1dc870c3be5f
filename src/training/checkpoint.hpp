// Checkpoints of training: RUN/checkpoints/step-N.h5, one flat array a quantity (weights, both moments), indexed over all units in
// their order, so that any number of ranks reads what any other wrote. Every rank writes its slices into the common file; memory does
// not grow. A file under its final name is complete; its checksums are verified as it is read, and the one before is used, with a
// warning that names the broken one, when they fail.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"
#include "trainer.hpp"
#include "training_log.hpp"

namespace tg {

class Checkpoints {
public:
    // `fingerprint`: of everything that decides the run; checkpoints of another are removed.
    Checkpoints(std::filesystem::path folder, std::string fingerprint, int keep, const Communicator& ranks);

    // Steps done: the next is `step`. Keeps the last `keep` files. Collective.
    void write(std::int64_t step, Trainer& trainer, const TrainingLog& log) const;
    // The newest whole one; returns the steps done (0: none, nothing changed). Collective.
    std::int64_t read_newest(Trainer& trainer, TrainingLog& log) const;
    void remove_all() const;  // training is complete. Collective.

private:
    std::vector<std::int64_t> steps() const;  // newest first; rank 0's listing
    std::filesystem::path file(std::int64_t step) const;
    void remove_foreign() const;
    std::int64_t read(std::int64_t step, Trainer& trainer, TrainingLog& log) const;

    std::filesystem::path folder_;
    std::string fingerprint_;
    int keep_;
    const Communicator& ranks_;
};

}  // namespace tg
