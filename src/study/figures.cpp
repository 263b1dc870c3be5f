#include "figures.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "fits.hpp"
#include "measurement.hpp"
#include "taskgalaxy/report/log_chart.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::study {
namespace {

report::LogChart chart_of(std::string title, std::string y_label, const std::vector<int>& ranks) {
    return {std::move(title), "MPI ranks", std::move(y_label), {ranks.begin(), ranks.end()}, false, {}};
}

void draw_mode(const ScalingSettings& settings, const std::vector<ScalingRow>& rows, const std::string& mode) {
    const bool weak = mode == "weak";
    auto times = chart_of(
        weak ? "Weak scaling: the same work for each rank" : "Strong scaling: the same work for all ranks together",
        "seconds", settings.ranks);
    auto efficiency =
        chart_of(weak ? "Weak scaling efficiency, t(1) / t(p)" : "Strong scaling efficiency, t(1) / (p t(p))",
                 "efficiency", settings.ranks);
    efficiency.linear_y = true;
    int colour = 0;
    for (const std::string phase : phase_names) {
        report::LogLine measured{phase, {}, false, colour}, ideal{"", {}, true, colour},
            share{phase, {}, false, colour};
        const auto medians = medians_of(rows, mode, phase);
        for (const auto& [ranks, m] : medians) {
            const double perfect =
                medians.begin()->second.seconds * (weak ? 1.0 : static_cast<double>(medians.begin()->first) / ranks);
            measured.points.emplace_back(ranks, m.seconds);
            ideal.points.emplace_back(ranks, perfect);
            share.points.emplace_back(ranks, perfect / m.seconds);
        }
        times.lines.push_back(std::move(measured));
        times.lines.push_back(std::move(ideal));
        efficiency.lines.push_back(std::move(share));
        ++colour;
    }
    storage::publish_text(settings.folder / (mode + ".svg"), report::log_chart_svg(times));
    storage::publish_text(settings.folder / (mode + "-efficiency.svg"), report::log_chart_svg(efficiency));
}

std::vector<ModelPoint> modelled(const ScalingSettings& settings, const std::string& phase,
                                 const std::map<int, run::CostRow>& medians) {
    if (!grows(phase)) return model_phase(medians, 1, 1, settings);
    const double growth = static_cast<double>(settings.model_items) / static_cast<double>(settings.items);
    return model_phase(medians, growth, growth * items_per_part / static_cast<double>(settings.model_part), settings);
}

// Past the knee nothing is won: the smallest count within a tenth of the best time.
const ModelPoint& knee_of(const std::vector<ModelPoint>& points) {
    const auto best = std::min_element(points.begin(), points.end(),
                                       [](const auto& a, const auto& b) { return a.total() < b.total(); });
    return *std::find_if(points.begin(), best, [&](const auto& p) { return p.total() <= 1.1 * best->total(); });
}

const char* what_stops(const ModelPoint& knee) {
    if (knee.ranks == most_modelled_ranks) return "nothing up to 4,096";
    if (knee.files >= std::max(knee.compute, knee.communication)) return "files";
    return knee.communication >= knee.compute ? "communication" : "its serial part";
}

}  // namespace

std::string table_of(const std::vector<ScalingRow>& rows, const std::string& mode) {
    std::string out =
        "| phase | ranks | seconds (least–most) | efficiency | waiting in collectives | in files | collectives a rank "
        "| bytes a rank | file operations |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for (const std::string phase : phase_names) {
        const auto medians = medians_of(rows, mode, phase);
        if (medians.empty()) continue;
        const auto& [first, base] = *medians.begin();
        for (const auto& [ranks, m] : medians) {
            double least = m.seconds, most = m.seconds;
            for (const auto& row : rows)
                if (row.mode == mode && row.cost.phase == phase && row.cost.ranks == ranks)
                    least = std::min(least, row.cost.seconds), most = std::max(most, row.cost.seconds);
            // A training step of weak scaling has a batch for each rank, a checkpoint has the same size always.
            const bool weak = mode == "weak";
            const double efficiency = base.seconds / m.seconds * (weak ? 1 : static_cast<double>(first) / ranks);
            out += fmt::format("| {} | {} | {:.3f} ({:.3f}–{:.3f}) | {:.0f} % | {:.0f} % | {:.0f} % | {} | {} | {} |\n",
                               phase, ranks, m.seconds, least, most, 100 * efficiency, 100 * m.collective_s / m.seconds,
                               100 * std::min(1.0, m.file_s / m.seconds), m.collectives, m.collective_bytes,
                               m.file_operations);
        }
    }
    return out;
}

std::string fits_of(const std::vector<ScalingRow>& rows) {
    std::string out =
        "| phase | parallel fraction (Amdahl, strong) | serial fraction (Gustafson, weak) |\n| --- | ---: | ---: |\n";
    for (const std::string phase : phase_names) {
        const auto strong = medians_of(rows, "strong", phase), weak = medians_of(rows, "weak", phase);
        if (strong.size() < 2 || weak.size() < 2) continue;
        out += fmt::format("| {} | {:.3f} | {:.3f} |\n", phase,
                           fit_amdahl(values_of(strong, &run::CostRow::seconds)).fraction(),
                           gustafson_serial(values_of(weak, &run::CostRow::seconds)));
    }
    return out;
}

void draw(const ScalingSettings& settings, const std::vector<ScalingRow>& rows) {
    for (const std::string mode : modes) draw_mode(settings, rows, mode);
}

std::string model(const ScalingSettings& settings, const std::vector<ScalingRow>& rows) {
    std::vector<int> sizes;
    for (int p = 1; p <= most_modelled_ranks; p *= 4) sizes.push_back(p);
    auto chart = chart_of(fmt::format("Model: {} pictures, 1 to 4,096 ranks", settings.model_items), "seconds", sizes);
    std::string csv = "phase,ranks,seconds,compute_s,communication_s,files_s\n";
    std::string table =
        "| phase | seconds on 1 rank | best at | seconds there | what stops it |\n| --- | ---: | ---: | ---: | --- |\n";
    int colour = 0;
    for (const std::string phase : phase_names) {
        const auto medians = medians_of(rows, "strong", phase);
        if (medians.empty()) continue;
        const auto points = modelled(settings, phase, medians);
        report::LogLine line{phase, {}, false, colour};
        for (const auto& p : points) {
            csv += fmt::format("{},{},{:.6f},{:.6f},{:.6f},{:.6f}\n", phase, p.ranks, p.total(), p.compute,
                               p.communication, p.files);
            if (std::find(sizes.begin(), sizes.end(), p.ranks) != sizes.end())
                line.points.emplace_back(p.ranks, p.total());
        }
        const double alone = points.front().total();
        chart.lines.push_back(std::move(line));
        chart.lines.push_back({"", {{1, alone}, {most_modelled_ranks, alone / most_modelled_ranks}}, true, colour++});
        const auto& knee = knee_of(points);
        table += fmt::format("| {} | {:.2f} | {} | {:.3f} | {} |\n", phase, alone, knee.ranks, knee.total(),
                             what_stops(knee));
    }
    storage::publish_text(settings.folder / "model.csv", csv);
    storage::publish_text(settings.folder / "model.svg", report::log_chart_svg(chart));
    return table;
}

}  // namespace tg::study
