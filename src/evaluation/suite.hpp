// The benchmarks, one row each: what file, how a question is put, how an answer is read, how answers become a score.
// Adding one is a row in suite.cpp. Which of them enter the average is the job's list, never a constant: the paper's
// sixteen are not all known.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "prompts.hpp"
#include "questions.hpp"
#include "taskgalaxy/evaluation/settings.hpp"

namespace tg::evaluation {

// What one answer was worth.
struct Mark {
    std::string said;   // what was understood: "B", "Yes", the text compared
    double credit = 0;  // 0..1; LLaVA-in-the-wild: the judge's 1..10
    bool understood =
        true;  // false: the answer could not be read (wrong without a judge; left out where a judge is what scores)
    double against = 0;  // LLaVA-in-the-wild: the judge's score of the reference answer

    template <class Self> static auto fields(Self& m) { return std::tie(m.said, m.credit, m.understood, m.against); }
};

// One number of a result. 100 * value / full is its place on the common scale.
struct ScoreFigure {
    std::string name;  // "overall", "f1", "category: existence"
    double value = 0;
    double full = 100;
    std::uint64_t items = 0;  // questions, groups or pictures it is the mean of
};

// Who scores: rules alone; rules, and a judge for what they cannot read (a lower bound without one); nobody but a
// judge.
enum class Scoring { rules, judge_helps, judge_only };

struct BenchmarkKind {
    std::string_view name;  // as a job file says it
    std::string_view title;
    std::string_view tsv;    // VLMEvalKit's file, without .tsv; empty: the user's own
    std::string_view md5;    // of that file; empty: none known
    std::uint64_t rows;      // usable questions of that file; 0: not known for certain
    std::string_view split;  // of that file
    PromptStyle prompt;
    Scoring scoring;
    int max_new_tokens;  // where the job does not say
    Mark (*read)(const Question&, std::string_view prediction, Convention);
    // The headline first. Sizes of both spans are equal.
    std::vector<ScoreFigure> (*summarise)(std::span<const Question>, std::span<const Mark>);
    std::string_view rule;  // one line for help and report
};

std::span<const BenchmarkKind> benchmark_kinds();
// Throws UsageError that lists the known ones.
const BenchmarkKind& benchmark_kind(std::string_view name);

// The figure called `headline` (the first one where empty) on the 0-100 scale; relative scores above 100 count 100.
// Throws UsageError naming the figures there are.
double common_scale(std::span<const ScoreFigure> figures, std::string_view headline);

}  // namespace tg::evaluation
