// The end of a run in a terminal: a dozen lines with the figures that matter and the path of the report.
#pragma once

#include <string>

#include "taskgalaxy/run/stage.hpp"

namespace tg::report {

// Rank 0, from the files of the run directory; what has not been run is left out. Ends with a newline.
std::string run_summary(const run::Paths& paths);

}  // namespace tg::report
