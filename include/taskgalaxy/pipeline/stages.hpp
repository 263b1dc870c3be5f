// The pipeline: the ordered list of stages, which sections of the job file each obeys, and how each is made from a job.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "taskgalaxy/pipeline/job.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::pipeline {

std::vector<std::string> stage_names();
// The stages meant by `word`: one by its name; refine, generate and screen, which run as one stream, are "curate";
// "embed" is both of its halves. Throws UsageError for an unknown word.
std::vector<std::string> stages_called(const std::string& word);
// In order. The stages refer to `job`, which must outlive them.
std::vector<std::unique_ptr<run::Stage>> make_pipeline(Job& job);
// Sections of the job file that decide what `stage` does; named ones end in '.'.
const std::vector<std::string>& sections_of(const std::string& stage);

}  // namespace tg::pipeline
