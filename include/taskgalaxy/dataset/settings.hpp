// Settings of the dataset files, section [export]: which formats, which samples.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg::dataset {

struct ExportSettings {
    std::vector<std::string> formats{"llava", "internvl"};
    std::filesystem::path hold_out;
    std::string image_prefix;
    // Sampling, all of it decided by `seed` and the samples' content, never by their order.
    std::vector<std::string> bands;
    std::int64_t max_types = 0;
    std::int64_t max_per_type = 0;
    std::int64_t samples = 0;
    bool screened = true;
    std::int64_t seed = 1;

    void describe(SettingsVisitor& v);
};

}  // namespace tg::dataset
