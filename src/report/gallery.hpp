// Samples shown with their pictures: which ones, and their cards. Drawn by seed, so that the same run gives the same
// page.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "findings.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/report/settings.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"

namespace tg::report {

// Rows of samples.h5 that are kept (or rejected by votes), at most `count`: first one a level-1 type and no picture
// twice, as far as that goes, in the order that `seed` draws.
std::vector<std::size_t> draw_samples(const RunData& run, const Findings& findings, bool kept, std::size_t count,
                                      std::uint64_t seed);

// A picture of the pool as a data URL, its longest side `side` pixels; empty where it cannot be read.
std::string picture_url(const pool::Pool& pool, std::uint64_t image, int side, int quality);

std::string gallery(const RunData& run, const Findings& findings, const ReportSettings& settings,
                    const pool::Pool* pool, const simulator::GroundTruth* truth, bool kept);

}  // namespace tg::report
