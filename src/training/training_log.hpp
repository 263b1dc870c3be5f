// One row a step, kept in memory on every rank (the numbers are sums over ranks), in each checkpoint, and at the end in
// training_log.h5 (run/training_log_table.hpp) and training_log.csv (steps alone).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "taskgalaxy/run/training_log_table.hpp"

namespace tg::training {

using run::LogRow;
using run::RollBackRow;
using run::ValidationRow;

class TrainingLog {
public:
    void add(const LogRow& row) { table_.steps.push_back(row); }
    const std::vector<LogRow>& rows() const { return table_.steps; }
    void add_validation(const ValidationRow& row) { table_.validation.push_back(row); }
    const std::vector<ValidationRow>& validation() const { return table_.validation; }
    bool is_validated(std::int64_t step) const {
        return !validation().empty() && validation().back().step >= static_cast<double>(step);
    }
    const std::vector<RollBackRow>& roll_backs() const { return table_.roll_backs; }
    void set_roll_backs(std::vector<RollBackRow> rows) { table_.roll_backs = std::move(rows); }
    // The data that step `step` takes: later ones where the training was rolled back.
    std::int64_t data_step(std::int64_t step) const {
        return roll_backs().empty()
                   ? step
                   : step + static_cast<std::int64_t>(roll_backs().back().data - roll_backs().back().to);
    }
    // A row's columns by name.
    static std::vector<std::pair<std::string, double>> scalars(const LogRow& row) { return run::named_columns(row); }

    const run::TrainingLogTable& table() const { return table_; }
    // Below `group` of a checkpoint.
    void write(storage::Hdf5File& file, const std::string& group) const { table_.write(file, group); }
    void read(const storage::Hdf5File& file, const std::string& group) {
        table_ = run::TrainingLogTable::read(file, group);
    }
    std::string csv() const;

private:
    run::TrainingLogTable table_;
};

}  // namespace tg::training
