// Settings of embedding and matching, sections [embed] and [match].
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/nn/layers/device_words.hpp"

namespace tg::matching {

struct EmbedSettings {
    std::filesystem::path model;  // a Hugging Face CLIPModel or SiglipModel folder
    layers::DeviceChoice device = layers::DeviceChoice::automatic;
    layers::DtypeChoice dtype = layers::DtypeChoice::automatic;
    int batch =
        0;  // items at once (batch_on(), pictures_at_once()); batches begin at multiples, whatever the number of ranks
    std::vector<std::string>
        templates;  // texts around a task type, {} standing for its path; several: the mean of their vectors
    int images_per_part = 4096;
    int texts_per_part = 4096;
    int batches_ahead = 3;
    int decode_threads = 0;

    // ViT-B/32 needs hundreds of pictures to fill a large GPU; a CPU gains nothing by more than its cores take.
    int batch_on(bool gpu) const { return batch > 0 ? batch : gpu ? 256 : 64; }
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

}  // namespace tg::matching
