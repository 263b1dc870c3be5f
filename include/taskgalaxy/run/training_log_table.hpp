// training_log.h5, made by `train`: one row a step, with the validations and the roll backs. Each column is a dataset
// f64 of its own: /step, /loss, ... (LogRow), validation/step, ... (ValidationRow), roll_backs/step, ... (RollBackRow).
// Attributes: samples, samples_left_out, samples_cut, steps_skipped, ranks (i64), peak_tflops (f64, 0: not known).
// Checkpoints keep the same tables in a group of theirs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::run {

// Sums over ranks, or the slowest rank's times.
struct LogRow {
    double step = 0, epoch = 0, loss = 0, lr = 0, grad_norm = 0, tokens = 0, supervised = 0, seconds = 0,
           tokens_per_s = 0, data_wait_s = 0, communication_s = 0, gather_wait_s = 0, reduce_wait_s = 0, compute_s = 0,
           sent_mib = 0, memory_mib = 0;
    double padded_tokens_per_s = 0;  // had every sequence been padded to its micro-batch's longest
    double tflops = 0,
           mfu = 0;      // model FLOPs a second and rank, and their share of the peak; mfu 0: peak not known
    double skipped = 0;  // 1: nothing was learnt from this step
};
// Loss of the samples held out, before step `step`.
struct ValidationRow {
    double step = 0, loss = 0, tokens = 0;
};
// At `step` the training went back to step `to`, which then took the data of step `data` of the order of samples.
struct RollBackRow {
    double step = 0, to = 0, data = 0;
};

struct TrainingLogTable {
    std::vector<LogRow> steps;
    std::vector<ValidationRow> validation;
    std::vector<RollBackRow> roll_backs;

    // Below `group` ("" or "log/") of a file of this process.
    void write(storage::Hdf5File& file, const std::string& group) const;
    static TrainingLogTable read(const storage::Hdf5File& file, const std::string& group);
};

// A step's columns by name, in their order.
std::vector<std::pair<std::string, double>> named_columns(const LogRow& row);

struct TrainingFacts {
    std::uint64_t samples = 0;  // an epoch
    std::int64_t samples_left_out = 0, samples_cut = 0, steps_skipped = 0;
    double peak_tflops = 0;
    int ranks = 1;
};

// The whole file; one process writes it.
void write_training_log(const std::filesystem::path& training_log_h5, const TrainingLogTable& table,
                        const TrainingFacts& facts);
TrainingLogTable read_training_log(const std::filesystem::path& training_log_h5);

}  // namespace tg::run
