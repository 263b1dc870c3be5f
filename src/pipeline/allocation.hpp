// What a Slurm allocation offers against what the job asks, told before the work begins rather than found out by it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "taskgalaxy/pipeline/job.hpp"

namespace tg::pipeline {

// Seconds until Slurm ends the job, from SLURM_JOB_END_TIME as the batch scripts set it; negative: not known.
double seconds_to_slurm_end();

// `variable` gives the value of an environment variable, or null. Returns warnings, one line each; throws UsageError
// where the run could not do anything. Outside Slurm: nothing. Called on rank 0.
std::vector<std::string> check_allocation(Job& job, int ranks, double seconds_left,
                                          const std::function<const char*(const char*)>& variable);

}  // namespace tg::pipeline
