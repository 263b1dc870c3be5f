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
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
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

struct PoolData {
    storage::TextColumn uri, reason;
    std::vector<std::uint8_t> status;
    std::vector<std::uint64_t> bytes;
    std::uint64_t size() const { return status.size(); }
    std::uint64_t usable() const;
    static std::optional<PoolData> read(const run::Paths& paths);
};

struct MatchData {
    std::uint64_t images = 0, k = 0;
    std::vector<std::int64_t> type;  // [N,k]
    std::vector<float> score;        // [N,k]
    static std::optional<MatchData> read(const run::Paths& paths);
};

struct CurationData {
    run::SampleTable samples;
    std::vector<std::uint8_t> image_state;     // [N]
    std::vector<std::uint8_t> candidate_kept;  // [N,k]
    std::uint64_t k = 0;
};

struct TrainingData {
    std::map<std::string, std::vector<double>> columns;
    const std::vector<double>* find(const std::string& name) const;
};

struct EvaluationRow {
    std::string model, benchmark, title, state, note, headline, rule;
    double value = 0, full = 100, score = 0;
    std::uint64_t questions = 0, unread = 0;
    bool in_mean = true;
    bool done() const { return state == "done"; }
};
struct EvaluationData {
    std::vector<EvaluationRow> rows;
    struct Mean {
        std::string model, name, benchmarks;
        double value = 0;
    };
    std::vector<Mean> means;
    struct Figure {
        std::string model, benchmark, name;
        double value = 0, full = 100;
        std::uint64_t items = 0;
    };
    std::vector<Figure> figures;
    std::string convention, prompts, judge;
};

struct CostRow {
    std::string stage, endpoint;
    std::int64_t asked = 0, from_journal = 0, failed = 0, retries = 0, tokens_in = 0, tokens_out = 0;
    double usd = 0;
    bool price_known = true;
};

std::optional<taxonomy::Taxonomy> read_taxonomy(const run::Paths& paths);

struct RunData {
    run::Paths paths;
    RunRecordData record;
    std::optional<PoolData> pool;
    std::optional<taxonomy::Taxonomy> taxonomy;
    std::optional<MatchData> matches;
    std::optional<CurationData> curation;
    std::optional<TrainingData> training;
    std::optional<EvaluationData> evaluation;
    std::vector<CostRow> costs;
    std::string job_text;

    static RunData read(const run::Paths& paths);
};

}  // namespace tg::report
