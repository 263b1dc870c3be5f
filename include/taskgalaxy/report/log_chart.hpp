// A chart with logarithmic axes as a whole SVG file for papers: no style sheet, colours that print, a legend that names
// each line.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tg::report {

struct LogLine {
    std::string name;
    std::vector<std::pair<double, double>> points;  // ascending x; values that are not positive and finite are left out
    bool dashed = false;                            // an ideal or a model; no dots
    int colour = 0;                                 // lines of one number share a colour
};

struct LogChart {
    std::string title, x_label, y_label;
    std::vector<double> x_ticks;  // where the x axis has its numbers
    bool linear_y = false;        // for shares and efficiencies: from 0
    std::vector<LogLine> lines;
};

std::string log_chart_svg(const LogChart& chart);

}  // namespace tg::report
