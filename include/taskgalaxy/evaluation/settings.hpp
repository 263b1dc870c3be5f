// Settings of the evaluation: one [evaluate] section and one [benchmark.NAME] section a benchmark file.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/nn/layers/device_words.hpp"

namespace tg::evaluation {

// Who answers: the model before fine-tuning, or what the train stage exported.
enum class Examinee { base, tuned };
// Whose wording of the questions: LLaVA-v1.5's scripts, or VLMEvalKit's for InternVL-Chat.
enum class PromptFamily { llava, internvl };
// Whose reading of answers counts where the tools differ: VLMEvalKit's without a judge, or the benchmark authors' /
// LLaVA's scripts.
enum class Convention { vlmevalkit, official };

// As a job file, a log line and a result say it.
std::string_view word_of(Examinee examinee);
std::string_view word_of(PromptFamily family);
std::string_view word_of(Convention convention);

struct EvaluateSettings {
    std::filesystem::path base_model;  // a Hugging Face folder; empty: the model that [train] starts from
    std::vector<Examinee> models = {Examinee::base, Examinee::tuned};
    PromptFamily prompts = PromptFamily::llava;
    Convention convention = Convention::vlmevalkit;
    std::string judge;  // an [endpoint.NAME]; empty: judged benchmarks are reported as not run
    int max_new_tokens = 0;
    std::optional<bool> pad_images;  // empty: as the model's configuration says
    int batch = 16;
    int questions_per_part = 128;
    int threads = 0;
    layers::DeviceChoice device = layers::DeviceChoice::automatic;
    layers::DtypeChoice dtype = layers::DtypeChoice::automatic;

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
