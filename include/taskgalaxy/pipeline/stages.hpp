// The pipeline: the ordered list of stages, a row each in stages.cpp: what it is called, which sections of the job file
// it obeys, and how it is made from a job. What lists, runs, explains or reports stages asks here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "taskgalaxy/pipeline/job.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::pipeline {

std::vector<std::string> stage_names();
// The stages meant by `word`: one by its name, or those whose rows have the word ("screen" is a part of curate, "embed"
// both halves). Throws UsageError that lists the stages where it means none.
std::vector<std::string> stages_called(const std::string& word);
bool is_stage_word(const std::string& word);
// In order. The stages refer to `job`, which must outlive them.
std::vector<std::unique_ptr<run::Stage>> make_pipeline(Job& job);
// Sections of the job file that decide what `stage` does; named ones end in '.'.
const std::vector<std::string>& sections_of(const std::string& stage);

}  // namespace tg::pipeline
