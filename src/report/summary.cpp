#include "taskgalaxy/report/summary.hpp"

#include <fmt/format.h>

#include "findings.hpp"
#include "html.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::report {

std::string run_summary(const run::Paths& paths) {
    using namespace report;
    const auto run = RunData::read(paths);
    ReportSettings settings;
    const auto found = find_out(run, settings, nullptr);
    std::string out;
    const auto line = [&](std::string_view name, const std::string& text) {
        out += fmt::format("  {:<12} {}\n", name, text);
    };

    if (run.pool)
        line("pictures", fmt::format("{} usable of {} listed", whole(run.pool->usable()), whole(run.pool->size())));
    if (run.taxonomy)
        line("task types", fmt::format("{} (level 1: {}, level 2: {}, level 3: {})", whole(run.taxonomy->size()),
                                       whole(found.levels[0]), whole(found.levels[1]), whole(found.levels[2])));
    const auto* report = run.record.find("report");
    const auto figure = [&](const char* name) {
        return report && report->figures.contains(name) ? std::optional(report->figures.at(name)) : std::nullopt;
    };
    if (run.matches) {
        auto text = fmt::format("{} ({} a picture)", whole(run.matches->images * run.matches->k), run.matches->k);
        if (const auto share = figure("matching.own_folder_found"))
            text += fmt::format("; own folder among the first {} for {} of {} pictures, {} by chance",
                                whole(static_cast<std::uint64_t>(*figure("matching.types_looked_at"))), percent(*share),
                                whole(static_cast<std::uint64_t>(*figure("matching.pictures"))),
                                percent(*figure("matching.by_chance")));
        line("matches", text);
    }
    if (run.curation) {
        if (const auto rate = found.none_rate()) line("None rate", percent(*rate));
        line("samples", fmt::format("{} kept, {} rejected or failed", whole(found.kept),
                                    whole(run.curation->samples.size() - found.kept)));
        if (const auto recall = figure("screening.recall"))
            line("screening", fmt::format("precision {}, recall {} against {} planted wrong answers",
                                          percent(*figure("screening.precision")), percent(*recall),
                                          whole(static_cast<std::uint64_t>(*figure("screening.planted_wrong")))));
    }
    if (!run.costs.empty())
        line("paid", dollars(found.usd) + (found.price_known ? "" : " and more (some prices unknown)"));
    if (run.training && !run.training->steps.empty()) {
        const auto& [steps, held, roll_backs] = *run.training;
        line("loss", fmt::format("{:.3f} first, {:.3f} last, {} steps{}", steps.front().loss, steps.back().loss,
                                 whole(steps.size()),
                                 held.empty() ? ""
                                              : fmt::format("; held out {:.3f} before, {:.3f} after", held.front().loss,
                                                            held.back().loss)));
    }
    if (run.evaluation) {
        const auto score = [&](const char* model, const std::string& benchmark) -> const run::EvaluationRow* {
            for (const auto& row : run.evaluation->rows)
                if (row.model == model && row.benchmark == benchmark && row.done()) return &row;
            return nullptr;
        };
        std::vector<std::string> seen;
        for (const auto& row : run.evaluation->rows) {
            if (!row.done() || std::find(seen.begin(), seen.end(), row.benchmark) != seen.end()) continue;
            seen.push_back(row.benchmark);
            const auto *base = score("base", row.benchmark), *tuned = score("tuned", row.benchmark);
            line(seen.size() == 1 ? "scores" : "",
                 fmt::format("{}: {}{}{} ({} questions)", row.benchmark,
                             base ? fmt::format("{:.1f} before", base->score) : "", base && tuned ? ", " : "",
                             tuned ? fmt::format("{:.1f} after", tuned->score) : "", whole(row.questions)));
        }
    }
    double seconds = 0;
    for (const auto& stage : run.record.stages) seconds += stage.seconds;
    if (seconds > 0) line("time", fmt::format("{} in {} stages", duration_text(seconds), run.record.stages.size()));
    if (const auto page = paths.report() / "index.html"; std::filesystem::exists(page)) line("report", page.string());
    return out.empty() ? fmt::format("  nothing has been run in {}\n", paths.root().string()) : out;
}

}  // namespace tg::report
