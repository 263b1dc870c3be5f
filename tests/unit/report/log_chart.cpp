#include "taskgalaxy/report/log_chart.hpp"

#include <gtest/gtest.h>
#include <regex>

namespace tg::report {
namespace {

TEST(log_chart, places_decades_and_doublings_at_equal_distances) {
    const auto svg = log_chart_svg(
        {"t < 1", "ranks", "seconds", {1, 2, 4}, false, {{"embed", {{1, 100}, {2, 10}, {4, 1}}, false, 0}}});
    const std::regex dot("cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
    std::vector<std::pair<double, double>> dots;
    for (std::sregex_iterator it(svg.begin(), svg.end(), dot), end; it != end; ++it)
        dots.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
    ASSERT_EQ(dots.size(), 3u);
    EXPECT_NEAR(dots[1].first - dots[0].first, dots[2].first - dots[1].first, 0.2);
    EXPECT_NEAR(dots[1].second - dots[0].second, dots[2].second - dots[1].second, 0.2);
    EXPECT_LT(dots[0].second, dots[2].second) << "more is higher";
    EXPECT_NE(svg.find("t &lt; 1"), svg.npos);
}

TEST(log_chart, leaves_out_what_has_no_logarithm) {
    const auto svg = log_chart_svg(
        {"", "ranks", "seconds", {1, 2}, false, {{"a", {{1, 0}, {2, 3}}, false, 0}, {"none", {}, false, 1}}});
    EXPECT_EQ(svg.find("nan"), svg.npos);
    EXPECT_EQ(svg.find("inf"), svg.npos);
    EXPECT_EQ(svg.find(">none<"), svg.npos);
}

}  // namespace
}  // namespace tg::report
