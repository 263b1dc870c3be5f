#include "taskgalaxy/report/log_chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "charts.hpp"
#include "html.hpp"

namespace tg::report {
namespace {

constexpr double width = 760, height = 420, left = 70, right = 190, top = 40, bottom = 52;
constexpr std::array colours{"#1b6f8f", "#c8672e", "#7a9a3c", "#a63d4b", "#6b5ca5", "#8a7340", "#4d5761"};

bool shown(const std::pair<double, double>& point) {
    return point.first > 0 && point.second > 0 && std::isfinite(point.second);
}

struct Range {
    double least = std::numeric_limits<double>::infinity(), most = 0;
    void take(double value) { least = std::min(least, value), most = std::max(most, value); }
};

std::string tick_text(double value) {
    return value >= 0.01 && value < 1e5 ? fmt::format("{:g}", value) : fmt::format("{:.0e}", value);
}

}  // namespace

std::string log_chart_svg(const LogChart& chart) {
    Range xs, ys;
    for (const double x : chart.x_ticks) xs.take(x);
    for (const auto& line : chart.lines)
        for (const auto& point : line.points)
            if (shown(point)) xs.take(point.first), ys.take(point.second);
    if (ys.most == 0) ys = {0.1, 1};
    if (chart.linear_y) ys = {0, std::max(1.0, ys.most) * 1.05};
    else ys = {std::pow(10, std::floor(std::log10(ys.least))), std::pow(10, std::ceil(std::log10(ys.most * 1.0001)))};
    const auto place = [](double value, double least, double most, bool is_log) {
        return is_log ? std::log(value / least) / std::log(most / least) : (value - least) / (most - least);
    };
    const auto x_at = [&](double x) {
        return left + (xs.most > xs.least ? place(x, xs.least, xs.most, true) : 0.5) * (width - left - right);
    };
    const auto y_at = [&](double y) {
        return height - bottom - place(y, ys.least, ys.most, !chart.linear_y) * (height - top - bottom);
    };

    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" font-family=\"Helvetica,Arial,sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{2:.0f}\" y=\"22\" font-size=\"15\" "
        "fill=\"#1d2733\">{3}</text>\n",
        width, height, left, report::escaped(chart.title));
    std::vector<double> y_ticks;
    if (chart.linear_y) y_ticks = report::ticks(ys.least, ys.most, 6);
    else
        for (double decade = ys.least; decade <= ys.most * 1.0001; decade *= 10) y_ticks.push_back(decade);
    for (const double y : y_ticks)
        out += fmt::format(
            "<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#e4e0d8\"/><text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\" "
            "fill=\"#5d6976\">{}</text>\n",
            left, y_at(y), width - right, left - 8, y_at(y) + 4, tick_text(y));
    for (const double x : chart.x_ticks)
        out += fmt::format(
            "<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"#5d6976\"/><text x=\"{0:.1f}\" y=\"{3:.1f}\" "
            "text-anchor=\"middle\" fill=\"#5d6976\">{4}</text>\n",
            x_at(x), height - bottom, height - bottom + 5, height - bottom + 19, tick_text(x));
    out += fmt::format(
        "<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#5d6976\"/>\n<text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"middle\" fill=\"#1d2733\">{}</text>\n",
        left, height - bottom, width - right, (left + width - right) / 2, height - 12, report::escaped(chart.x_label));
    out += fmt::format(
        "<text transform=\"translate(18 {:.1f}) rotate(-90)\" text-anchor=\"middle\" fill=\"#1d2733\">{}</text>\n",
        (top + height - bottom) / 2, report::escaped(chart.y_label));
    double legend_y = top + 6;
    for (const auto& line : chart.lines) {
        const auto colour = colours[static_cast<std::size_t>(line.colour) % colours.size()];
        std::string points, dots;
        for (const auto& point : line.points) {
            if (!shown(point)) continue;
            points += fmt::format("{:.1f},{:.1f} ", x_at(point.first), y_at(point.second));
            if (!line.dashed)
                dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\" fill=\"{}\"/>", x_at(point.first),
                                    y_at(point.second), colour);
        }
        if (points.empty()) continue;
        const auto dash = line.dashed ? " stroke-dasharray=\"5 4\" stroke-opacity=\"0.7\"" : "";
        out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"{}/>{}\n", points,
                           colour, dash, dots);
        if (line.name.empty()) continue;
        out += fmt::format(
            "<path d=\"M{0:.1f} {1:.1f}H{2:.1f}\" stroke=\"{3}\" stroke-width=\"1.8\"{4}/><text x=\"{5:.1f}\" "
            "y=\"{6:.1f}\" fill=\"#1d2733\">{7}</text>\n",
            width - right + 14, legend_y, width - right + 40, colour, dash, width - right + 46, legend_y + 4,
            report::escaped(line.name));
        legend_y += 19;
    }
    return out + "</svg>\n";
}

}  // namespace tg::report
