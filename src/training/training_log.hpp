// One row a step, kept in memory on every rank (the numbers are sums over ranks), in each checkpoint, and at the end in
// training_log.h5 and training_log.csv.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg {

struct LogRow {
    double step = 0, epoch = 0, loss = 0, lr = 0, grad_norm = 0, tokens = 0, supervised = 0, seconds = 0, tokens_per_s = 0, data_wait_s = 0, communication_s = 0, gather_wait_s = 0, reduce_wait_s = 0, compute_s = 0, sent_mib = 0, memory_mib = 0;
};

class TrainingLog {
public:
    void add(const LogRow& row) { rows_.push_back(row); }
    const std::vector<LogRow>& rows() const { return rows_; }
    // Columns as datasets GROUP/loss, ...; collective on files made together.
    void write(Hdf5File& file, const std::string& group, bool first_rank = true) const;
    void read(const Hdf5File& file, const std::string& group);
    std::string csv() const;

private:
    std::vector<LogRow> rows_;
};

}  // namespace tg
