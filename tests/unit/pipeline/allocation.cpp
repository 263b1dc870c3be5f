#include "allocation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "taskgalaxy/core/error.hpp"

namespace tg::pipeline {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

auto in(const std::map<std::string, const char*>& variables) {
    return [variables](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second;
    };
}

TEST(check_allocation, is_silent_outside_slurm_and_where_all_fits) {
    Job job;
    EXPECT_THAT(check_allocation(job, 1, 10, in({{"SLURM_NTASKS", "8"}})), IsEmpty());
    EXPECT_THAT(check_allocation(job, 8, 3600,
                                 in({{"SLURM_JOB_ID", "1"},
                                     {"SLURM_NTASKS", "8"},
                                     {"SLURM_GPUS_ON_NODE", "4"},
                                     {"SLURM_NTASKS_PER_NODE", "4"}})),
                IsEmpty());
}

TEST(check_allocation, tells_of_tasks_without_ranks_and_gpus_without_tasks) {
    Job job;
    EXPECT_THAT(check_allocation(job, 1, 3600, in({{"SLURM_JOB_ID", "1"}, {"SLURM_NTASKS", "8"}})),
                ElementsAre(HasSubstr("8 tasks and this is one rank")));
    EXPECT_THAT(
        check_allocation(job, 2, 3600,
                         in({{"SLURM_JOB_ID", "1"}, {"SLURM_GPUS_ON_NODE", "h100:4"}, {"SLURM_NTASKS_PER_NODE", "1"}})),
        ElementsAre(HasSubstr("3 of 4 GPUs")));
    EXPECT_THAT(
        check_allocation(job, 8, 3600,
                         in({{"SLURM_JOB_ID", "1"}, {"SLURM_GPUS_ON_NODE", "2"}, {"SLURM_NTASKS_PER_NODE", "8"}})),
        ElementsAre(HasSubstr("8 tasks a node share 2 GPUs")));
}

TEST(check_allocation, refuses_a_time_limit_inside_the_margin_and_a_missing_gpu) {
    Job job;
    job.run.stop_margin_s = 120;
    EXPECT_THROW(check_allocation(job, 2, 100, in({{"SLURM_JOB_ID", "1"}})), UsageError);
    EXPECT_THAT(check_allocation(job, 2, 100, in({{"SLURM_JOB_ID", "1"}, {"SLURM_RESTART_COUNT", "1"}})), IsEmpty());
    job.run.time_limit_s = 30;  // the job's own word on time goes first
    EXPECT_THAT(check_allocation(job, 2, 100, in({{"SLURM_JOB_ID", "1"}})), IsEmpty());
    job.train.device = layers::DeviceChoice::cuda;
    EXPECT_THROW(check_allocation(job, 2, 3600, in({{"SLURM_JOB_ID", "1"}})), UsageError);
}

}  // namespace
}  // namespace tg::pipeline
