// What the report computes from the run's files: rates, bands, agreement, hits of matching, catches of screening. No
// HTML here; the page, the CSV files and the summary in the terminal all read these.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run_data.hpp"
#include "taskgalaxy/report/settings.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"

namespace tg::report {

// Matching against the folders that pictures came from. `own_folder[r]`: share of pictures with a type about their own
// folder among their first r + 1 types; `chance[r]`: the same for r + 1 types drawn at random from all leaves.
struct MatchHits {
    std::uint64_t pictures = 0,
                  without_type = 0;  // without_type: no type is about the picture's folder, so that none can hit
    std::vector<double> own_folder, chance;
    bool held_out = false;
    // The one figure that stands for the curve: at ten types, the paper's k, or at all there are.
    std::size_t headline() const { return std::min<std::size_t>(own_folder.size(), 10); }
    double found() const { return headline() == 0 ? 0 : own_folder[headline() - 1]; }
    double found_by_chance() const { return headline() == 0 ? 0 : chance[headline() - 1]; }
};

// A level-1 type: how many leaves it has, how often it was offered and kept, what became of its pictures.
struct Branch {
    std::string name;
    std::uint64_t types = 0, leaves = 0, offered = 0, fitting = 0, samples = 0, kept = 0;
    std::uint64_t images = 0,
                  none = 0;  // pictures whose best candidate is of this branch, and those of them where nothing fitted
    double none_rate() const { return images == 0 ? 0 : static_cast<double>(none) / static_cast<double>(images); }
};

struct Votes {
    std::vector<std::uint64_t> for_sample;  // [J+1]: samples with so many votes of 1, every judge having voted
    std::uint64_t missing = 0;              // samples that lack a vote
    std::vector<std::array<std::uint64_t, 3>> judge;  // [J]: votes 0, 1, missing
    std::vector<std::vector<double>> agreement;       // [J][J]
    double fleiss_kappa = 0;                          // NaN with fewer than two judges
};

// Screening against wrong answers that the simulator planted. A catch is a planted wrong answer that was rejected.
struct Screening {
    std::uint64_t judged = 0, foreign = 0;  // foreign: samples that are not the simulator's, left out
    std::uint64_t wrong_rejected = 0, wrong_kept = 0, right_rejected = 0, right_kept = 0;
    double precision() const;   // of the rejected ones, planted
    double recall() const;      // of the planted ones, rejected
    double kept_right() const;  // of the kept ones, right
};

struct TypeBands {
    std::uint64_t none = 0;                                             // leaves without a kept sample
    std::vector<std::pair<std::string, std::uint64_t>> types, samples;  // a band
};

struct Findings {
    std::array<std::uint64_t, 3> levels{};
    std::uint64_t leaves = 0;
    std::array<std::uint64_t, 5> image_states{};  // kept some, None, failed, unusable, not asked
    std::array<std::uint64_t, 4> sample_states{};
    std::uint64_t candidates = 0, fitting = 0, kept = 0;
    std::vector<std::uint64_t> kept_of_type, samples_of_type;  // taxonomy rows
    std::vector<Branch> branches;                              // in taxonomy order
    std::optional<Votes> votes;
    std::optional<MatchHits> hits;
    std::optional<Screening> screening;
    std::optional<TypeBands> bands;
    double usd = 0;
    bool price_known = true;

    std::optional<double> none_rate() const;  // of the pictures that were asked about and answered
    // Level-1 row of every taxonomy row.
    std::vector<std::size_t> branch_of_type;
};

// `truth` may be null: then nothing is measured against it.
Findings find_out(const RunData& run, const ReportSettings& settings, const simulator::GroundTruth* truth);

// For the tests: chance that at least one of `draws` distinct items out of `all` is among `good`.
double chance_of_hit(std::uint64_t all, std::uint64_t good, std::uint64_t draws);

}  // namespace tg::report
