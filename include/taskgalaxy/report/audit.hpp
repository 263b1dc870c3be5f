// People's verdict on the judges' one: a sheet of samples, kept and rejected ones mixed and the votes hidden, for
// people to rate, and what the ratings that came back say. One process; no stage of the pipeline.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::report {

struct AuditSettings {
    int samples = 100;
    double rejected_share = 0.5;  // of the sheet; the rest were kept
    std::int64_t seed = 1;
    int picture_side = 420;
    int jpeg_quality = 82;
};

// Writes report/audit.html (to look at, and to rate on: it saves the ratings as CSV) and report/audit.csv (to rate in a
// spreadsheet). Fewer samples than asked for are no error: the sheet then holds all there are. Returns the page's path.
// Throws InputError: no samples.h5.
std::filesystem::path write_audit_sheet(const run::Paths& paths, const pool::PoolSettings& pool,
                                        const AuditSettings& settings);

// Filled sheets, one a person: columns `row` (of samples.h5) and `rating` (1 valid, 0 not, empty: not rated). Throws
// InputError naming file and line of a rating that is neither.
struct AuditReport {
    struct Share {
        std::uint64_t valid = 0, rated = 0;
        double value() const { return rated == 0 ? 0 : static_cast<double>(valid) / static_cast<double>(rated); }
        std::pair<double, double> interval() const;  // Wilson, 95 %
    };
    Share kept, rejected;                                 // over all people's ratings
    std::vector<std::pair<std::string, Share>> by_votes;  // "2 of 3" ...
    std::vector<std::pair<std::string, Share>>
        rejected_by_level1;  // do the judges throw out what is valid but hard, by subject
    std::uint64_t people = 0, unrated = 0;
    double kappa = 0;                 // Cohen's, people against judges' decision; NaN where undefined
    double kappa_between_people = 0;  // mean over pairs of people; NaN with fewer than two
};
AuditReport read_audit(const run::Paths& paths, const std::vector<std::filesystem::path>& filled);
std::string audit_text(const AuditReport& report);  // for a terminal

}  // namespace tg::report
