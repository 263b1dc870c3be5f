// Settings of the report, section [report].
#pragma once

#include <filesystem>
#include <string>

#include "taskgalaxy/core/settings.hpp"

namespace tg::report {

// What is known about the pictures; automatic: the folders of [ground_truth] where they are set.
enum class TruthSource { automatic, none, folder };

struct ReportSettings {
    std::string title;
    TruthSource ground_truth = TruthSource::automatic;
    std::filesystem::path held_out;
    int gallery = 24;
    int picture_side = 220;
    int jpeg_quality = 72;
    std::int64_t seed = 1;

    void describe(SettingsVisitor& v);
};

}  // namespace tg::report
