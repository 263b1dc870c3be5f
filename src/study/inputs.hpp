// What the measured runs work on, made in the study's folder under `inputs/` where it is not there yet: pictures, task
// types, samples to train on. Each returns the path for the job file's setting.
#pragma once

#include <cstdint>
#include <filesystem>

namespace tg::study {

// `count` of the PNG and JPEG files below `pictures`, taken in turn and copied, so that each has a name of its own.
// Throws InputError where there is none.
std::filesystem::path make_pool(const std::filesystem::path& study, const std::filesystem::path& pictures,
                                std::int64_t count);
// A text file of `count` task types of three levels.
std::filesystem::path make_types(const std::filesystem::path& study, std::int64_t count);
// A JSON file of `count` conversations about the pictures of `pool`.
std::filesystem::path make_samples(const std::filesystem::path& study, const std::filesystem::path& pool, int count);

}  // namespace tg::study
