// What a study shows of its rows: tables in Markdown, charts in SVG, the model's run.
#pragma once

#include <string>
#include <vector>

#include "phases.hpp"
#include "taskgalaxy/study/scaling.hpp"

namespace tg::study {

// Of one mode: a line a phase and rank count.
std::string table_of(const std::vector<ScalingRow>& rows, const std::string& mode);
// Amdahl's and Gustafson's fractions, of the phases measured on two rank counts or more.
std::string fits_of(const std::vector<ScalingRow>& rows);
// Writes MODE.svg and MODE-efficiency.svg of both modes.
void draw(const ScalingSettings& settings, const std::vector<ScalingRow>& rows);
// Writes model.csv and model.svg; returns the table of where each phase stops gaining, and why.
std::string model(const ScalingSettings& settings, const std::vector<ScalingRow>& rows);

}  // namespace tg::study
