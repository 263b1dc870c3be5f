// The page's numbers as CSV files (RFC 4180), whole where the page shows the first few.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "findings.hpp"

namespace tg::report {

// File names and contents; a table whose stage has not been run is not among them.
std::vector<std::pair<std::string, std::string>> csv_tables(const RunData& run, const Findings& found);

}  // namespace tg::report
