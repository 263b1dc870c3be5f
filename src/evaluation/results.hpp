// What came of one model on one benchmark, and what is kept of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "questions.hpp"
#include "suite.hpp"
#include "taskgalaxy/evaluation/settings.hpp"
#include "taskgalaxy/run/evaluation_table.hpp"

namespace tg::evaluation {

inline constexpr auto state_done = run::EvaluationRow::state_done;

struct BenchmarkResult {
    std::string model, benchmark;  // "base" or "tuned"; the section's name
    const BenchmarkKind* kind = nullptr;
    std::string state{state_done};  // or why there is no score
    std::string note;      // what a reader must know: another file than published, a lower bound, a judge's name
    std::string headline;  // name of the figure that enters the mean
    std::vector<ScoreFigure> figures;  // empty unless done
    bool in_mean = true;
    std::uint64_t questions = 0, unread = 0;
    double seconds = 0;

    bool done() const { return state == state_done; }
    double score() const { return common_scale(figures, headline); }
};

struct MeanScore {
    std::string model, name;  // "all benchmarks", "without MME"
    double value = 0;
    std::vector<std::string> benchmarks;  // that entered
};

// Unweighted, over the benchmarks that every model has done, so that before and after are means of the same things.
std::vector<MeanScore> mean_scores(const std::vector<BenchmarkResult>& results);

// What evaluation.h5 keeps.
run::EvaluationTable evaluation_table(const std::vector<BenchmarkResult>& results, const EvaluateSettings& settings);
// index, answer, prediction, what was understood, credit, problem: quoted where a reader of TSV needs it.
std::string predictions_tsv(const std::vector<Question>& questions, const std::vector<std::string>& predictions,
                            const std::vector<Mark>& marks, const std::vector<std::string>& problems);

}  // namespace tg::evaluation
