// Settings of embedding and matching, sections [embed] and [match].
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg {

struct EmbedSettings {
    std::filesystem::path model;          // a Hugging Face CLIPModel or SiglipModel folder
    std::string device = "auto";
    std::string dtype = "auto";
    int batch = 64;                       // items at once (pictures_at_once()); batches begin at multiples, whatever the number of ranks
    std::vector<std::string> templates;   // texts around a task type, {} standing for its path; several: the mean of their vectors
    int images_per_part = 4096;
    int texts_per_part = 4096;
    int batches_ahead = 3;
    int decode_threads = 0;

    void describe(SettingsVisitor& v);
};

struct MatchSettings {
    int k = 10;
    int images_per_part = 16384;
    int types_at_once = 131072;  // 400 MB of 768 floats, and half of it again for the product
    int threads = 0;
    std::string arithmetic = "auto";

    void describe(SettingsVisitor& v);
};

}  // namespace tg
