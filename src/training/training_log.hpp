// One row a step, kept in memory on every rank (the numbers are sums over ranks), in each checkpoint, and at the end in
// training_log.h5 and training_log.csv (steps alone).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::training {

struct LogRow {
    double step = 0, epoch = 0, loss = 0, lr = 0, grad_norm = 0, tokens = 0, supervised = 0, seconds = 0,
           tokens_per_s = 0, data_wait_s = 0, communication_s = 0, gather_wait_s = 0, reduce_wait_s = 0, compute_s = 0,
           sent_mib = 0, memory_mib = 0;
    double padded_tokens_per_s = 0;  // had every sequence been padded to its micro-batch's longest
    double tflops = 0,
           mfu = 0;  // model FLOPs a second and rank (flops.hpp), and their share of the peak; mfu 0: peak not known
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

class TrainingLog {
public:
    void add(const LogRow& row) { rows_.push_back(row); }
    const std::vector<LogRow>& rows() const { return rows_; }
    void add_validation(const ValidationRow& row) { validation_.push_back(row); }
    const std::vector<ValidationRow>& validation() const { return validation_; }
    bool is_validated(std::int64_t step) const {
        return !validation_.empty() && validation_.back().step >= static_cast<double>(step);
    }
    const std::vector<RollBackRow>& roll_backs() const { return roll_backs_; }
    void set_roll_backs(std::vector<RollBackRow> rows) { roll_backs_ = std::move(rows); }
    // The data that step `step` takes: later ones where the training was rolled back.
    std::int64_t data_step(std::int64_t step) const {
        return roll_backs_.empty() ? step
                                   : step + static_cast<std::int64_t>(roll_backs_.back().data - roll_backs_.back().to);
    }
    // A row's columns by name.
    static std::vector<std::pair<std::string, double>> scalars(const LogRow& row);

    // Columns as datasets GROUP/loss, ..., GROUP/validation/loss, ..., GROUP/roll_backs/step, ...; collective on files
    // made together.
    void write(storage::Hdf5File& file, const std::string& group, bool first_rank = true) const;
    void read(const storage::Hdf5File& file, const std::string& group);
    std::string csv() const;

private:
    std::vector<LogRow> rows_;
    std::vector<ValidationRow> validation_;
    std::vector<RollBackRow> roll_backs_;
};

}  // namespace tg::training
