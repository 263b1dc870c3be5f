// The pipeline: the ordered list of stages, which sections of the job file each obeys, and how each is made from a job.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "job.hpp"
#include "taskgalaxy/storage/stage.hpp"

namespace tg::app {

std::vector<std::string> stage_names();
// In order. The stages refer to `job`, which must outlive them.
std::vector<std::unique_ptr<Stage>> make_pipeline(Job& job);
// Sections of the job file that decide what `stage` does; named ones end in '.'. Throws UsageError for an unknown stage.
const std::vector<std::string>& sections_of(const std::string& stage);

}  // namespace tg::app
