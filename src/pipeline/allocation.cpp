#include "allocation.hpp"

#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fmt/format.h>
#include <string_view>

#include "taskgalaxy/core/error.hpp"

namespace tg::pipeline {
namespace {

// The leading number of "2", "2(x3)" or "h100:4"; 0 where there is none.
int number_in(const char* text) {
    if (!text) return 0;
    std::string_view words(text);
    if (const auto colon = words.rfind(':'); colon != words.npos) words.remove_prefix(colon + 1);
    int value = 0;
    std::from_chars(words.data(), words.data() + words.size(), value);
    return value;
}

}  // namespace

double seconds_to_slurm_end() {
    const char* end = std::getenv("SLURM_JOB_END_TIME");
    return end ? std::strtod(end, nullptr) - static_cast<double>(std::time(nullptr)) : -1;
}

std::vector<std::string> check_allocation(Job& job, int ranks, double seconds_left,
                                          const std::function<const char*(const char*)>& variable) {
    if (!variable("SLURM_JOB_ID")) return {};
    std::vector<std::string> warnings;
    if (const int tasks = number_in(variable("SLURM_NTASKS")); tasks > 1 && ranks == 1)
        warnings.push_back(
            fmt::format("the allocation has {} tasks and this is one rank: start it with srun --mpi=pmix or mpirun, as "
                        "slurm/run.sbatch does",
                        tasks));
    // A later life may begin late in its time; refusing it would end a run that only needs another one.
    if (job.run.time_limit_s == 0 && !variable("SLURM_RESTART_COUNT") && seconds_left >= 0 &&
        seconds_left <= job.run.stop_margin_s)
        throw UsageError(
            fmt::format(
                "the job ends in {:.0f} s, and run.stop_margin_s = {:.0f} is kept for stopping: nothing would be done",
                seconds_left, job.run.stop_margin_s),
            "ask for more by sbatch --time, or lower run.stop_margin_s");
    const int gpus = number_in(variable("SLURM_GPUS_ON_NODE")), here = number_in(variable("SLURM_NTASKS_PER_NODE"));
    if (gpus == 0 && job.wants_gpu())
        throw UsageError("a stage's device is cuda, and the allocation has no GPU on this node",
                         "ask for some by sbatch --gpus-per-task=1, or set device = auto");
    if (gpus > 0 && here > gpus)
        warnings.push_back(fmt::format("{} tasks a node share {} GPUs; one task a GPU is faster: --ntasks-per-node={}",
                                       here, gpus, gpus));
    if (gpus > here && here > 0)
        warnings.push_back(fmt::format("{} of {} GPUs a node are not used: --ntasks-per-node={} gives each a task",
                                       gpus - here, gpus, gpus));
    return warnings;
}

}  // namespace tg::pipeline
