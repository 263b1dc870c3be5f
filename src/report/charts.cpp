#include "charts.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "html.hpp"

namespace tg::report {
namespace {

// A drawing area inside margins; user units are CSS pixels at full width.
struct Frame {
    double width = 720, height = 300, left = 56, right = 16, top = 14, bottom = 44;
    double x(double share) const { return left + share * (width - left - right); }
    double y(double share) const { return height - bottom - share * (height - top - bottom); }
};

double share_of(const Axis& axis, double value) {
    return axis.most > axis.least ? std::clamp((value - axis.least) / (axis.most - axis.least), 0.0, 1.0) : 0;
}

std::string open_svg(const Frame& frame, std::string_view label) {
    return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">", frame.width, frame.height,
                       escaped(label));
}

std::string axes(const Frame& frame, const Axis& x, const Axis& y) {
    std::string out;
    for (const double value : ticks(y.least, y.most, 5)) {
        const double at = frame.y(share_of(y, value));
        out += fmt::format(
            "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"tick\" "
            "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.{}f}</text>",
            frame.left, frame.width - frame.right, at, at, frame.left - 8, at + 4, value, y.decimals);
    }
    for (const double value : ticks(x.least, x.most, 8))
        out += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.{}f}</text>",
                           frame.x(share_of(x, value)), frame.height - frame.bottom + 18, value, x.decimals);
    out += fmt::format("<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", frame.left,
                       frame.width - frame.right, frame.y(0), frame.y(0));
    out += fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", frame.x(0.5),
                       frame.height - 8, escaped(x.label));
    out += fmt::format(
        "<text class=\"label\" transform=\"translate(13 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        frame.y(0.5), escaped(y.label));
    return out;
}

}  // namespace

std::vector<double> ticks(double least, double most, int most_ticks) {
    if (!(most > least) || !std::isfinite(most - least)) return {least};
    double step = std::pow(10, std::floor(std::log10((most - least) / most_ticks)));
    for (const double factor : {1.0, 2.0, 5.0, 10.0})
        if ((most - least) / (step * factor) <= most_ticks) {
            step *= factor;
            break;
        }
    std::vector<double> out;
    for (double i = std::ceil(least / step - 1e-9); i * step <= most + 1e-9 * step; ++i)
        out.push_back(i * step == 0 ? 0 : i * step);
    return out;
}

std::string bar_list(const std::vector<Bar>& bars, double full) {
    for (const auto& bar : bars) {
        double sum = 0;
        for (const auto& part : bar.parts) sum += part.value;
        full = std::max(full, sum);
    }
    std::string out = "<div class=\"bars\">\n";
    for (const auto& bar : bars) {
        out += fmt::format("<div class=\"bar-label\">{}</div><div class=\"bar\">", bar.label);
        for (const auto& part : bar.parts)
            if (part.value > 0)
                out += fmt::format("<span class=\"{}\" style=\"width:{:.3f}%\" title=\"{}\"></span>", part.colour,
                                   full > 0 ? 100 * part.value / full : 0, escaped(part.tooltip));
        out += fmt::format("</div><div class=\"bar-note\">{}</div>\n", bar.note);
    }
    return out + "</div>";
}

std::string legend(const std::vector<std::pair<std::string_view, std::string>>& entries) {
    std::string out = "<p class=\"legend\">";
    for (const auto& [colour, words] : entries)
        out += fmt::format("<span><i class=\"{}\"></i>{}</span>", colour, escaped(words));
    return out + "</p>";
}

std::string line_chart(const Axis& x, const Axis& y, const std::vector<Series>& series) {
    const Frame frame;
    std::string out = open_svg(frame, y.label + " over " + x.label) + axes(frame, x, y);
    for (const auto& line : series) {
        std::string points;
        for (const auto& [px, py] : line.points)
            if (std::isfinite(py))
                points += fmt::format("{:.1f},{:.1f} ", frame.x(share_of(x, px)), frame.y(share_of(y, py)));
        out += fmt::format("<polyline class=\"line {}{}{}\" points=\"{}\"><title>{}</title></polyline>", line.colour,
                           line.faint ? " faint" : "", line.dashed ? " dashed" : "", points, escaped(line.name));
        if (line.dots)
            for (const auto& [px, py] : line.points)
                if (std::isfinite(py))
                    out += fmt::format(
                        "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{}: "
                        "{:.{}f}</title></circle>",
                        line.colour, frame.x(share_of(x, px)), frame.y(share_of(y, py)), escaped(line.name), py,
                        y.decimals + 1);
    }
    return out + "</svg>";
}

std::string histogram_chart(const Axis& x, const std::vector<Histogram>& histograms) {
    const Frame frame;
    double most = 0;
    for (const auto& h : histograms)
        for (const double count : h.counts) most = std::max(most, count);
    const Axis y{"share of each", 0, most > 0 ? most * 1.05 : 1, most < 0.05 ? 3 : 2};
    std::string out = open_svg(frame, "distribution of " + x.label) + axes(frame, x, y);
    for (const auto& h : histograms) {
        const auto bins = static_cast<double>(h.counts.size());
        std::string points = fmt::format("{:.1f},{:.1f} ", frame.x(0), frame.y(0));
        for (std::size_t b = 0; b < h.counts.size(); ++b)
            for (const double edge : {0.0, 1.0})
                points += fmt::format("{:.1f},{:.1f} ", frame.x((static_cast<double>(b) + edge) / bins),
                                      frame.y(share_of(y, h.counts[b])));
        points += fmt::format("{:.1f},{:.1f}", frame.x(1), frame.y(0));
        out += fmt::format("<polygon class=\"area {}\" points=\"{}\"><title>{}</title></polygon>", h.colour, points,
                           escaped(h.name));
    }
    return out + "</svg>";
}

std::string change_chart(const std::vector<Change>& changes) {
    constexpr double row = 34;
    Frame frame{.width = 720,
                .height = 46 + row * static_cast<double>(changes.size()),
                .left = 190,
                .right = 74,
                .top = 8,
                .bottom = 34};
    std::string out = open_svg(frame, "scores before and after");
    for (const double value : ticks(0, 100, 6)) {
        const double at = frame.x(value / 100);
        out += fmt::format(
            "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"tick\" "
            "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>",
            at, at, frame.top, frame.y(0), at, frame.height - frame.bottom + 18, value);
    }
    double y = frame.top + row / 2;
    for (const auto& change : changes) {
        const double from = frame.x(change.before / 100), to = frame.x(change.after / 100);
        out += fmt::format("<text class=\"row-label\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
                           frame.left - 14, y + 4, escaped(change.label));
        const bool both = change.has_before && change.has_after, better = change.after >= change.before;
        if (both)
            out += fmt::format("<line class=\"change {}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                               better ? "up" : "down", from, to, y, y);
        if (change.has_before)
            out += fmt::format(
                "<circle class=\"before\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"><title>before: {:.2f}</title></circle>",
                from, y, change.before);
        if (change.has_after)
            out += fmt::format(
                "<circle class=\"after {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"><title>after: {:.2f}</title></circle>",
                !both || better ? "up" : "down", to, y, change.after);
        if (both)
            out += fmt::format(
                "<text class=\"difference {}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:+.1f}</text>",
                better ? "up" : "down", frame.width - 4, y + 4, change.after - change.before);
        y += row;
    }
    return out + "</svg>";
}

}  // namespace tg::report
