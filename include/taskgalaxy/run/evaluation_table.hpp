// evaluation.h5, made by `evaluate`: what came of each model on each benchmark. Three tables, one dataset a column:
//   /         a row a model and benchmark: texts model, benchmark, kind, title, rule, state, note, headline; f64 value,
//             full, score, seconds; u64 questions, unread; u8 in_mean
//   figures/  a row a figure of those: texts model, benchmark, name; f64 value, full; u64 items
//   means/    a row a mean of a model: texts model, name, benchmarks (with ", " between them); f64 value
//   attributes   convention, prompts, judge: the settings that a reader of scores must know
// One process writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tg::run {

struct EvaluationRow {
    static constexpr std::string_view state_done = "done";

    std::string model, benchmark;             // "base" or "tuned"; the section's name in the job
    std::string kind, title, rule;            // the benchmark's kind, its name for people, and how it is scored
    std::string state;                        // "done", or why there is no score
    std::string note;                         // what a reader of the score must know
    std::string headline;                     // name of the figure in `value`
    double value = 0, full = 100;             // as the benchmark gives it, and the most it can be
    double score = 0;                         // on the common scale, 0 to 100
    std::uint64_t questions = 0, unread = 0;  // asked; answers in which no choice was found
    double seconds = 0;
    bool in_mean = true;

    bool done() const { return state == state_done; }
};

struct EvaluationFigure {
    std::string model, benchmark, name;
    double value = 0, full = 100;
    std::uint64_t items = 0;  // questions behind it
};

struct EvaluationMean {
    std::string model, name;
    double value = 0;
    std::string benchmarks;
};

struct EvaluationTable {
    std::vector<EvaluationRow> rows;
    std::vector<EvaluationFigure> figures;
    std::vector<EvaluationMean> means;
    std::string convention, prompts, judge;

    void write(const std::filesystem::path& evaluation_h5) const;
    static EvaluationTable read(const std::filesystem::path& evaluation_h5);
};

}  // namespace tg::run
