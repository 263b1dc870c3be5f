// `taskgalaxy study scaling`: runs the stages that scale with ranks on several rank counts, with a fixed amount of work
// (strong scaling) and with a fixed amount a rank (weak), collects what they cost, and extrapolates by a model to
// machines not rented yet. One process, which starts the measured runs through the launcher; every point is a run
// directory of its own and is kept, so that a study goes on where it was stopped and batch jobs may each fill in some
// points.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tg::study {

struct ScalingSettings {
    std::filesystem::path folder;    // of the study
    std::filesystem::path job;       // models and whatever else is not set by the study
    std::filesystem::path pictures;  // folder of PNG or JPEG files, taken in turn until there are enough
    std::vector<int> ranks{1, 2};
    int repeats = 3;
    std::int64_t items = 512;                             // pictures of strong scaling
    std::int64_t items_per_rank = 128;                    // of weak scaling
    std::int64_t types = 1024;                            // task types to match with
    std::string launch = "mpirun --oversubscribe -n {}";  // {}: the rank count
    std::vector<std::string> sets;                        // as --set of `taskgalaxy run`
    bool collect_only = false;
    // The machine of the model, and the size of its run.
    std::int64_t model_items = 800'000, model_part = 1024;  // pictures in all, and in a part
    double latency_us = 5, link_gb_per_s = 10, file_operations_per_s = 10'000, file_gb_per_s = 20;
};

// Measures what is missing, then writes scaling.csv, scaling.h5, model.csv, scaling.md and SVG charts into the study's
// folder. Returns the text of scaling.md.
std::string study_scaling(const ScalingSettings& settings);

}  // namespace tg::study
