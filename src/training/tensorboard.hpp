// RUN/tensorboard while training goes on: every column of the log as train/NAME, and validation/loss. Of one rank; what
// is switched off takes all calls and does nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "event_file.hpp"
#include "training_log.hpp"

namespace tg::training {

class TensorBoard {
public:
    TensorBoard(std::filesystem::path folder, bool enabled) : folder_(std::move(folder)), enabled_(enabled) {}

    // A new file with all that `log` holds, at about the times it was measured. Throws StorageError.
    void begin(const TrainingLog& log);
    // A file that can no longer be written is given up with a warning: no reason to end a training.
    void add(const LogRow& row);
    void add(const ValidationRow& row);

private:
    void add(double step, const std::vector<std::pair<std::string, double>>& scalars);

    std::filesystem::path folder_;
    bool enabled_;
    std::optional<EventFile> events_;
};

}  // namespace tg::training
