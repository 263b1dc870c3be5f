#include "fits.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "phases.hpp"

namespace tg::study {
namespace {

// Least squares of y = a + b f, with neither below zero.
std::pair<double, double> fit_line(const std::map<int, double>& values, double (*f)(double)) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (const auto& [ranks, y] : values) {
        const double x = f(ranks);
        n += 1, sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    const double spread = n * sxx - sx * sx;
    double b = spread > 0 ? (n * sxy - sx * sy) / spread : 0, a = n > 0 ? (sy - b * sx) / n : 0;
    if (b < 0) a = n > 0 ? sy / n : 0, b = 0;
    if (a < 0) a = 0, b = sxx > 0 ? sxy / sxx : 0;
    return {a, b};
}

}  // namespace

Amdahl fit_amdahl(const std::map<int, double>& seconds) {
    const auto [a, b] = fit_line(seconds, [](double p) { return 1 / p; });
    return {a, b};
}

PerRank fit_per_rank(const std::map<int, double>& totals) {
    const auto [a, b] = fit_line(totals, [](double p) { return p; });
    return {a, b};
}

double gustafson_serial(const std::map<int, double>& seconds) {
    double above = 0, below = 0;
    const double one = seconds.begin()->second / seconds.begin()->first;
    for (const auto& [p, t] : seconds) {
        const double speedup = p * one * seconds.begin()->first / t;
        above += (p - 1) * (p - speedup);
        below += (p - 1.0) * (p - 1.0);
    }
    return below > 0 ? std::clamp(above / below, 0.0, 1.0) : 0;
}

std::vector<ModelPoint> model_phase(const std::map<int, run::CostRow>& medians, double growth, double part_growth,
                                    const ScalingSettings& settings) {
    std::map<int, double> own;  // seconds that neither wait for ranks nor for files
    for (const auto& [ranks, m] : medians) own[ranks] = std::max(0.0, m.seconds - m.collective_s - m.file_s);
    const auto compute = fit_amdahl(own), collectives = fit_amdahl(values_of(medians, &run::CostRow::collectives)),
               bytes = fit_amdahl(values_of(medians, &run::CostRow::collective_bytes));
    const auto operations = fit_per_rank(values_of(medians, &run::CostRow::file_operations)),
               file_bytes = fit_per_rank(values_of(medians, &run::CostRow::file_bytes));
    std::vector<ModelPoint> out;
    for (int p = 1; p <= most_modelled_ranks; p *= 2) {
        // What is shared out grows with the pictures (rounds of collectives and files: with the parts); what every rank
        // does once does not.
        const auto grown = [&](const Amdahl& fit, double times) { return fit.serial + times * fit.parallel / p; };
        const double hops = std::log2(static_cast<double>(p));
        out.push_back({p, grown(compute, growth),
                       hops * grown(collectives, part_growth) * settings.latency_us * 1e-6 +
                           (p > 1 ? 2 * grown(bytes, part_growth) / (settings.link_gb_per_s * 1e9) : 0),
                       (part_growth * operations.base + operations.each * p) / settings.file_operations_per_s +
                           (growth * file_bytes.base + file_bytes.each * p) / (settings.file_gb_per_s * 1e9)});
    }
    return out;
}

}  // namespace tg::study
