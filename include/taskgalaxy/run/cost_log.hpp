// RUN/log/costs.csv: what each stage of each life cost, with its phases: one row each, added when the stage ends or is
// stopped. What `taskgalaxy study scaling` reads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::run {

// Over the ranks: maxima of what ranks do at the same time, sums of what they load the file system and the network
// with.
struct CostRow {
    int ranks = 0;
    std::string stage, phase;  // phase "total": the whole stage
    std::int64_t calls = 0;
    double seconds = 0;                 // slowest rank
    std::int64_t collectives = 0;       // most of a rank
    std::int64_t collective_bytes = 0;  // most of a rank
    double collective_s = 0;            // mean over ranks, waiting included
    std::int64_t file_operations = 0;   // all ranks
    std::int64_t file_bytes = 0;        // all ranks
    double file_s = 0;                  // mean over ranks
};

// Collective: adds the rows of one stage, with the phases counted since the last call.
void log_costs(const parallel::Communicator& ranks, const std::filesystem::path& csv, const std::string& stage,
               Cost total);

// Rows in the order of writing; empty where there is no file. Throws StorageError where a row is no row.
std::vector<CostRow> read_costs(const std::filesystem::path& csv);

}  // namespace tg::run
