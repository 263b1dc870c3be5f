// `taskgalaxy status RUN`: what is done, what is under way and at which rate, also of a run in progress; reads only
// files that are replaced by rename, so it never disturbs or waits for the run.
#pragma once

#include <filesystem>
#include <string>

namespace tg::app {

// For people. Throws InputError if `run` is no run directory.
std::string status_text(const std::filesystem::path& run);
// The same as one JSON object.
std::string status_json(const std::filesystem::path& run);

}  // namespace tg::app
