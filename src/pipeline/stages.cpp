#include "taskgalaxy/pipeline/stages.hpp"

#include <algorithm>
#include <fmt/format.h>

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

struct Step {
    std::string name;
    std::vector<std::string> sections;
    std::unique_ptr<run::Stage> (*make)(Job&);
};

const std::vector<Step>& steps() {
    static const std::vector<Step> list{
        {"ingest", {"pool"}, [](Job& j) { return ingest::make_ingest_stage(j.pool); }},
        {"embed_images", {"embed", "pool"}, [](Job& j) { return matching::make_embed_images_stage(j.embed, j.pool); }},
        {"expand",
         {"expand", "prompts", "endpoint.", "api"},
         [](Job& j) {
             return curation::make_expand_stage(
                 j.expand, j.prompts, j.endpoints, j.api,
                 {j.embed.model, [&j] { return matching::make_text_embedder(j.embed); }});
         }},
        {"embed_texts", {"embed"}, [](Job& j) { return matching::make_embed_texts_stage(j.embed, j.pool); }},
        {"match", {"match"}, [](Job& j) { return matching::make_match_stage(j.match); }},
        {"curate",
         {"refine", "generate", "screen", "prompts", "endpoint.", "api"},
         [](Job& j) { return curation::make_curate_stage(j.curate, j.prompts, j.pool, j.endpoints, j.api); }},
        {"export", {"export"}, [](Job& j) { return dataset::make_export_stage(j.exported, j.pool); }},
        {"train", {"train", "pool"}, [](Job& j) { return training::make_train_stage(j.train, j.pool); }},
        {"evaluate",
         {"evaluate", "benchmark."},
         [](Job& j) {
             return evaluation::make_evaluate_stage(j.evaluate, j.benchmarks, j.train.model, j.endpoints, j.api);
         }},
        {"report",
         {"report", "ground_truth"},
         [](Job& j) { return report::make_report_stage(j.report, j.pool, j.ground_truth); }},
    };
    return list;
}

}  // namespace

std::vector<std::string> stage_names() {
    std::vector<std::string> names;
    for (const auto& step : steps()) names.push_back(step.name);
    return names;
}

std::vector<std::unique_ptr<run::Stage>> make_pipeline(Job& job) {
    std::vector<std::unique_ptr<run::Stage>> stages;
    for (const auto& step : steps()) stages.push_back(step.make(job));
    return stages;
}

std::vector<std::string> stages_called(const std::string& word) {
    if (word == "refine" || word == "generate" || word == "screen") return {"curate"};
    if (word == "embed") return {"embed_images", "embed_texts"};
    const auto names = stage_names();
    if (std::find(names.begin(), names.end(), word) == names.end())
        throw UsageError(fmt::format("stage '{}' is not known", word), "stages: " + join(names, ", "));
    return {word};
}

const std::vector<std::string>& sections_of(const std::string& stage) {
    const auto& list = steps();
    return std::find_if(list.begin(), list.end(), [&](const Step& s) { return s.name == stage; })->sections;
}

}  // namespace tg::pipeline
