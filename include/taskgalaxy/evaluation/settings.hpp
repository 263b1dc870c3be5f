// Settings of the evaluation: one [evaluate] section and one [benchmark.NAME] section a benchmark file.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg::evaluation {

struct EvaluateSettings {
    std::filesystem::path base_model;  // a Hugging Face folder; empty: the model that [train] starts from
    std::vector<std::string> models = {"base", "tuned"};
    std::string prompts = "llava";
    std::string convention = "vlmevalkit";
    std::string judge;  // an [endpoint.NAME]; empty: judged benchmarks are reported as not run
    int max_new_tokens = 0;
    std::string pad_images = "auto";
    int batch = 16;
    int questions_per_part = 128;
    int threads = 0;
    std::string device = "auto";
    std::string dtype = "auto";

    void describe(SettingsVisitor& v);
};

struct BenchmarkSettings {
    std::string kind;  // a row of the suite; empty: the section's own name
    std::filesystem::path file;
    std::filesystem::path image_root;
    std::filesystem::path answers;
    std::string split = "as published";  // the kind's own; "all": every row
    std::string headline;                // the figure that enters the mean; empty: the kind's first
    bool in_mean = true;
    bool verify = true;
    int max_new_tokens = 0;
    int limit = 0;

    void describe(SettingsVisitor& v);
};

using BenchmarkList = std::map<std::string, BenchmarkSettings>;

}  // namespace tg::evaluation
