#include "taskgalaxy/pipeline/stages.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/curation/curate_stage.hpp"
#include "taskgalaxy/curation/expand_stage.hpp"
#include "taskgalaxy/dataset/export_stage.hpp"
#include "taskgalaxy/evaluation/evaluate_stage.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/matching/embed_stage.hpp"
#include "taskgalaxy/matching/match_stage.hpp"
#include "taskgalaxy/report/report_stage.hpp"
#include "taskgalaxy/training/train_stage.hpp"

namespace tg::pipeline {
namespace {

struct Row {
    std::string name;                   // as the stage says it
    std::vector<std::string> words{};   // more words for it on the command line; stages may share one
    std::vector<std::string> sections;  // of the job file, that decide what it does; named ones end in '.'
    std::unique_ptr<run::Stage> (*make)(Job&);
};

const std::vector<Row>& rows() {
    static const std::vector<Row> list{
        {.name = "ingest", .sections = {"pool"}, .make = [](Job& j) { return ingest::make_ingest_stage(j.pool); }},
        {.name = "embed_images",
         .words = {"embed"},
         .sections = {"embed", "pool"},
         .make = [](Job& j) { return matching::make_embed_images_stage(j.embed, j.pool); }},
        {.name = "expand",
         .sections = {"expand", "prompts", "endpoint.", "api"},
         .make =
             [](Job& j) {
                 return curation::make_expand_stage(
                     j.expand, j.prompts, j.endpoints, j.api,
                     {j.embed.model, [&j] { return matching::make_text_embedder(j.embed); }});
             }},
        {.name = "embed_texts",
         .words = {"embed"},
         .sections = {"embed"},
         .make = [](Job& j) { return matching::make_embed_texts_stage(j.embed, j.pool); }},
        {.name = "match", .sections = {"match"}, .make = [](Job& j) { return matching::make_match_stage(j.match); }},
        {.name = "curate",
         .words = {"refine", "generate", "screen"},  // which run as one stream
         .sections = {"refine", "generate", "screen", "prompts", "endpoint.", "api"},
         .make = [](Job& j) { return curation::make_curate_stage(j.curate, j.prompts, j.pool, j.endpoints, j.api); }},
        {.name = "export",
         .sections = {"export"},
         .make = [](Job& j) { return dataset::make_export_stage(j.exported, j.pool); }},
        {.name = "train",
         .sections = {"train", "pool"},
         .make = [](Job& j) { return training::make_train_stage(j.train, j.pool); }},
        {.name = "evaluate",
         .sections = {"evaluate", "benchmark."},
         .make =
             [](Job& j) {
                 return evaluation::make_evaluate_stage(j.evaluate, j.benchmarks, j.train.model, j.endpoints, j.api);
             }},
        {.name = "report",
         .sections = {"report", "ground_truth"},
         .make = [](Job& j) { return report::make_report_stage(j.report, j.pool, j.ground_truth); }},
    };
    return list;
}

bool is_called(const Row& row, const std::string& word) {
    return row.name == word || std::find(row.words.begin(), row.words.end(), word) != row.words.end();
}

}  // namespace

std::vector<std::string> stage_names() {
    std::vector<std::string> names;
    for (const auto& row : rows()) names.push_back(row.name);
    return names;
}

std::vector<std::unique_ptr<run::Stage>> make_pipeline(Job& job) {
    std::vector<std::unique_ptr<run::Stage>> stages;
    for (const auto& row : rows()) stages.push_back(row.make(job));
    return stages;
}

bool is_stage_word(const std::string& word) {
    return std::any_of(rows().begin(), rows().end(), [&](const Row& row) { return is_called(row, word); });
}

std::vector<std::string> stages_called(const std::string& word) {
    std::vector<std::string> names;
    for (const auto& row : rows())
        if (is_called(row, word)) names.push_back(row.name);
    if (names.empty())
        throw UsageError(fmt::format("stage '{}' is not known", word), "stages: " + join(stage_names(), ", "));
    return names;
}

const std::vector<std::string>& sections_of(const std::string& stage) {
    for (const auto& row : rows())
        if (row.name == stage) return row.sections;
    throw std::logic_error("no stage is named " + stage);
}

}  // namespace tg::pipeline
