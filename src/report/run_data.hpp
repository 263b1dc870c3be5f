// What a run directory holds, read from its HDF5 files (and costs/*.json); a file that is not there leaves its part
// empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/run/evaluation_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/run/paths.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/run/training_log_table.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::report {

struct StageLine {
    std::string stage, fingerprint, finished;
    double seconds = 0;
    std::map<std::string, double> figures;
};

struct RunRecordData {
    std::vector<StageLine> stages;  // in the order in which they finished
    std::map<std::string, std::string> provenance;
    const StageLine* find(std::string_view stage) const;
};

struct CurationData {
    run::SampleTable samples;
    run::RefineRows refined;
};

// Of RUN/costs/*.json (asking/expenses.hpp).
struct ExpenseRow {
    std::string stage, endpoint;
    std::int64_t asked = 0, from_journal = 0, failed = 0, retries = 0, tokens_in = 0, tokens_out = 0;
    double usd = 0;
    bool price_known = true;
};

// Of a run directory; empty where the file is not there.
std::optional<pool::PoolTable> read_pool(const run::Paths& paths);
std::optional<taxonomy::Taxonomy> read_taxonomy(const run::Paths& paths);
std::optional<run::MatchRows> read_matches(const run::Paths& paths);

struct RunData {
    run::Paths paths;
    RunRecordData record;
    std::optional<pool::PoolTable> pool;
    std::optional<taxonomy::Taxonomy> taxonomy;
    std::optional<run::MatchRows> matches;
    std::optional<CurationData> curation;
    std::optional<run::TrainingLogTable> training;
    std::optional<run::EvaluationTable> evaluation;
    std::vector<ExpenseRow> costs;
    std::string job_text;

    static RunData read(const run::Paths& paths);
};

}  // namespace tg::report
