// Takes a job through the pipeline: decides which stages are done, stale or due, runs those due on all ranks, and
// records each.
#pragma once

#include <string>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/pipeline/job.hpp"

namespace tg::pipeline {

struct RunChoice {
    std::vector<std::string> stages;  // only these; empty: all
    std::vector<std::string> redo;    // these, and what follows from them, are done again though done before
};

// Collective. Returns the exit code; throws AgreedFailure where a stage fails or a stop was asked for.
int run_job(const parallel::Communicator& world, Job& job, const RunChoice& choice);

}  // namespace tg::pipeline
