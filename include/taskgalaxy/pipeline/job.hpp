// A job: every setting of a run, each struct owned by the room it belongs to. This and its list of sections (job.cpp)
// are the only places that know them all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/dataset/export_stage.hpp"
#include "taskgalaxy/evaluation/settings.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/matching/settings.hpp"
#include "taskgalaxy/pipeline/job_file.hpp"
#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/report/settings.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/training/settings.hpp"

namespace tg::pipeline {

struct RunSettings {
    std::filesystem::path folder = "runs/taskgalaxy";
    double time_limit_s = 0;
    double stop_margin_s = 120;
    int watchdog_s = 1800;

    void describe(SettingsVisitor& v) {
        v.tuning("folder", &folder, "the run directory: everything the run makes, and where it goes on from");
        v.tuning("time_limit_s", &time_limit_s,
                 "seconds this life may last; 0: until Slurm's end time if known, else for ever", at_least(0));
        v.tuning("stop_margin_s", &stop_margin_s,
                 "seconds before that limit at which to checkpoint and leave with code 75", at_least(0));
        v.tuning("watchdog_s", &watchdog_s, "end the job when one collective takes longer than this; 0: never",
                 at_least(0));
    }
};

struct Job {
    std::string path;
    RunSettings run;
    pool::PoolSettings pool;
    curation::PromptSettings prompts;
    curation::ExpandSettings expand;
    matching::EmbedSettings embed;
    matching::MatchSettings match;
    llm::ApiSettings api;
    std::map<std::string, llm::EndpointSettings> endpoints;
    curation::CurateSettings curate;
    dataset::ExportSettings exported;
    training::TrainSettings train;
    evaluation::EvaluateSettings evaluate;
    std::map<std::string, evaluation::BenchmarkSettings> benchmarks;
    report::ReportSettings report;
    simulator::SimulatorSettings simulator;
    simulator::GroundTruthSettings ground_truth;

    // `text` is the file's content; `sets` are --set options, laid over it; of the file, `only` these sections where
    // any are named. Throws UsageError at the first mistake.
    void read(const std::string& file, const std::string& text, const std::vector<std::string>& sets,
              const std::vector<std::string>& only = {});
    // As understood, every default filled in; reading it back gives the same job.
    std::string text();
    std::string help_of(const std::string& section);
    // Whether a section says `device = cuda`.
    bool wants_gpu();

private:
    std::vector<Section> sections();
};

}  // namespace tg::pipeline
