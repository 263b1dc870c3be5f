// Where a result came from: version, commit, machine, ranks, libraries, time. Kept in run.h5 and shown in the report.
#pragma once

#include <map>
#include <string>

namespace tg::pipeline {

// "0.1.0 (1a2b3c4)".
std::string version();
// For --version: the libraries this program was built with and runs on.
std::string library_versions();
// Adds this life of the run; what was first recorded ("created") stays.
void describe_provenance(std::map<std::string, std::string>& provenance, const std::string& job_path, int ranks);

}  // namespace tg::pipeline
