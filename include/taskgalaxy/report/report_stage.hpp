// The stage `report`: what the run did, from the HDF5 files of its directory, as one self-contained page
// report/index.html and CSV files beside it. Works on a partial run: a part whose files are not there yet says "not
// run". Rank 0 works, the others wait.
#pragma once

#include <memory>

#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/report/settings.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"

namespace tg::report {

// `pool` tells where the pictures of the gallery lie (one that cannot be read is shown as an empty frame), `truth` what
// is known about them (its `pictures` may be empty: then nothing is measured against it).
std::unique_ptr<run::Stage> make_report_stage(const ReportSettings& settings, const pool::PoolSettings& pool,
                                              const simulator::GroundTruthSettings& truth = {});

}  // namespace tg::report
