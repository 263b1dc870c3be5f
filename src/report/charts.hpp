// Charts as inline SVG and HTML, coloured by the page's style sheet (classes c1, c2, ...), so that they follow light,
// dark and paper. Each mark carries its value as a tooltip; each chart is readable without colour.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tg::report {

// One bar of a list: parts beside each other, each with a class that gives its colour.
struct BarPart {
    double value = 0;
    std::string_view colour;  // "c1" ...
    std::string tooltip;
};
struct Bar {
    std::string label;  // HTML
    std::vector<BarPart> parts;
    std::string note;  // HTML, behind the bar
};
// `full`: the value that fills the width; 0: the longest bar's.
std::string bar_list(const std::vector<Bar>& bars, double full = 0);
std::string legend(const std::vector<std::pair<std::string_view, std::string>>& entries);  // colour, words

struct Axis {
    std::string label;
    double least = 0, most = 1;
    int decimals = 0;
};
struct Series {
    std::string name;
    std::string_view colour;
    std::vector<std::pair<double, double>> points;
    bool faint = false, dashed = false, dots = false;
};
std::string line_chart(const Axis& x, const Axis& y, const std::vector<Series>& series);

struct Histogram {
    std::string name;
    std::string_view colour;
    std::vector<double> counts;  // one a bin, as shares of the histogram's sum
};
std::string histogram_chart(const Axis& x, const std::vector<Histogram>& histograms);

// Two values a row on one scale of 0 to 100: where it was and where it came to.
struct Change {
    std::string label;  // plain text
    double before = 0, after = 0;
    bool has_before = true, has_after = true;
};
std::string change_chart(const std::vector<Change>& changes);

// Round steps for an axis: at most `most_ticks` multiples of 1, 2 or 5 times a power of ten.
std::vector<double> ticks(double least, double most, int most_ticks);

}  // namespace tg::report
