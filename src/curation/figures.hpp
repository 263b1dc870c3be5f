// What the watching of curation shows, counted from the finished results alone, so that it is the same for any number
// of ranks and after any restart: None rates, vote patterns, agreement of the judges, what the parsers forgave or
// dropped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flow.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::curation {

class CurationFigures {
public:
    // `level1_of_type`: of each taxonomy row, the position of its level-1 type in `level1_names`.
    CurationFigures(std::vector<std::string> judges, std::vector<std::string> level1_names);

    void add_image(ImageState state, int level1_of_best);  // the level-1 type of its best candidate, or -1
    void add_candidate(int level1, bool kept);
    void add_sample(SampleState state, bool kept, const std::uint8_t* votes);
    void add_notes(const std::vector<std::int64_t>& counts);  // [3 * note_count]: refine, generate, screen

    // Sums over ranks. Collective.
    void sum(const parallel::Communicator& ranks) { ranks.all_reduce_sum(counts_); }

    double none_rate() const;  // of the images that were refined
    double kept_rate() const;  // of the samples that got all their votes
    // Fleiss' kappa over samples with every vote; 1 where the judges always say the same one thing. NaN without two
    // judges.
    double fleiss_kappa() const;
    double agreement(std::size_t a, std::size_t b) const;  // share of samples on which both voted and said the same
    std::int64_t images(ImageState state) const;
    std::int64_t samples(SampleState state) const;
    std::int64_t kept() const;
    std::int64_t votes_for(std::size_t ones) const;  // fully judged samples with so many votes of 1

    // What samples.h5 keeps.
    run::SampleFigures table() const;
    void add_to(run::Figures& figures) const;
    void log() const;

private:
    std::int64_t& at(std::size_t index) { return counts_[index]; }
    std::size_t judges() const { return judges_.size(); }

    std::vector<std::string> judges_, level1_;
    // One flat row of counters, so that one reduction sums them all; the offsets below say where each table begins.
    std::size_t image_states_, sample_states_, kept_, votes_for_, squares_, ones_, judge_votes_, pairs_, level1_counts_,
        notes_;
    std::vector<std::int64_t> counts_;
};

}  // namespace tg::curation
