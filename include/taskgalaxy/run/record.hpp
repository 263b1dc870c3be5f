// run.h5: which stages are done, with which fingerprint, when, how long they took and the figures they left; and where
// and with what the run was made. Small, rewritten whole and published by rename at every change. Rank 0 alone reads
// and writes it. Three tables, one dataset a column:
//   /             a row a stage that is done, by name: texts stage, fingerprint (hex), finished (UTC); f64 seconds
//   figures/      a row a figure: texts stage, name; f64 value
//   provenance/   texts key, text
//   attributes    version, host, job, created, ranks: the same texts, for h5dump and the like
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/run/stage.hpp"

namespace tg::run {

struct StageRecord {
    std::string fingerprint, finished;  // hex; UTC
    double seconds = 0;                 // over all lives of the stage
    Figures figures;
};

class Record {
public:
    // Reads `file` if it exists.
    explicit Record(std::filesystem::path file);

    const std::map<std::string, StageRecord>& stages() const { return stages_; }
    const StageRecord* find(const std::string& stage) const;
    void set(const std::string& stage, StageRecord record) { stages_[stage] = std::move(record); }
    void forget(const std::string& stage) { stages_.erase(stage); }
    // Free text kept with the run: "version", "commit", "host", "job", "libraries" ...
    std::map<std::string, std::string>& provenance() { return provenance_; }
    const std::map<std::string, std::string>& provenance() const { return provenance_; }
    void save() const;

private:
    std::filesystem::path file_;
    std::map<std::string, StageRecord> stages_;
    std::map<std::string, std::string> provenance_;
};

}  // namespace tg::run
