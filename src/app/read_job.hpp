// The job file of a command.
#pragma once

#include <string>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/pipeline/job.hpp"

namespace tg::app {

// Collective: read on rank 0 and broadcast, so that a thousand ranks do not open one small file and all see the same
// text. `sets` and `only` are Job::read's. Throws UsageError on every rank.
pipeline::Job read_job(const parallel::Communicator& world, const std::string& path,
                       const std::vector<std::string>& sets, const std::vector<std::string>& only = {});

}  // namespace tg::app
