// One measured run: `taskgalaxy run` as a child of this process, through the launcher, on one rank count. It is
// stopped once at a checkpoint and gone on with, so that reading a checkpoint is measured too.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/study/scaling.hpp"

namespace tg::study {

// Small parts: every rank count has several for each rank.
constexpr int train_steps = 6, samples_per_rank = 4, items_per_part = 16;

struct Point {
    std::string mode;  // "strong" or "weak"
    int ranks = 1, repeat = 1;

    std::filesystem::path run(const std::filesystem::path& study) const;
    // The run's cost log, kept when the run is complete; the run itself is then removed.
    std::filesystem::path csv(const std::filesystem::path& study) const;
};

// What is started for it; makes the inputs it names.
std::vector<std::string> command_of(const ScalingSettings& settings, const Point& point);

// Starts the command and returns its exit code, 128 + the signal's number where one ended it; as soon as `run` has a
// checkpoint it is asked to stop, if `stop_it`. Output is added to the file `run`.txt.
int run_command(const std::vector<std::string>& words, const std::filesystem::path& run, bool stop_it);

// Measures what is not measured yet. Throws Error naming the output where the command fails, Stopped when asked to
// stop.
void measure(const ScalingSettings& settings, const Point& point);

}  // namespace tg::study
