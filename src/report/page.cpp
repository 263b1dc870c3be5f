#include "page.hpp"

#include <fmt/format.h>

#include "html.hpp"
#include "style.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::report {
namespace {

std::string tile(std::string_view name, const std::string& value, const std::string& more) {
    if (value.empty())
        return fmt::format("<div class=\"tile missing\"><span class=\"name\">{}</span><b>not run</b></div>\n", name);
    return fmt::format(
        "<div class=\"tile\"><span class=\"name\">{}</span><b>{}</b><span class=\"more\">{}</span></div>\n", name,
        value, more);
}

}  // namespace

const std::vector<Section>& sections() {
    static const std::vector<Section> list{
        {"flow", "From pictures to samples", flow_section},
        {"types", "Task types", types_section},
        {"matching", "Matching", matching_section},
        {"refining", "Refinement", refining_section},
        {"screening", "Screening", screening_section},
        {"bands", "Samples a type", bands_section},
        {"training", "Training", training_section},
        {"scores", "Scores", scores_section},
        {"costs", "Costs", costs_section},
        {"time", "Time", time_section},
        {"gallery", "Gallery", gallery_section},
        {"pictures", "Bad pictures", pictures_section},
        {"provenance", "Provenance", provenance_section},
    };
    return list;
}

std::string key_figures(const Page& page) {
    const auto& run = page.run;
    const auto& found = page.found;
    std::string out = "<div class=\"tiles\">\n";
    out += tile("pictures", run.pool ? whole(run.pool->usable()) : "",
                run.pool ? fmt::format("{} listed", whole(run.pool->size())) : "");
    out += tile("task types", run.taxonomy ? whole(run.taxonomy->size()) : "",
                fmt::format("{} / {} / {} on levels 1 to 3", whole(found.levels[0]), whole(found.levels[1]),
                            whole(found.levels[2])));
    if (found.hits)
        out += tile(fmt::format("own folder in the top {}", found.hits->headline()), percent(found.hits->found()),
                    fmt::format("{} by chance", percent(found.hits->found_by_chance())));
    else
        out += tile("matches", run.matches ? whole(run.matches->images * run.matches->k) : "",
                    run.matches ? fmt::format("{} a picture", run.matches->k) : "");
    out += tile("None rate", found.none_rate() ? percent(*found.none_rate()) : "", "of the pictures asked about");
    out += tile("samples kept", run.curation ? whole(found.kept) : "",
                run.curation ? fmt::format("of {}", whole(run.curation->samples.size())) : "");
    if (found.screening && found.screening->judged > 0)
        out += tile("screening", percent(found.screening->recall()),
                    fmt::format("of planted errors caught, precision {}", percent(found.screening->precision())));
    if (run.training) {
        const auto& steps = run.training->steps;
        out += tile("loss", steps.empty() ? "" : decimal(steps.back().loss, 3),
                    steps.empty() ? "" : fmt::format("from {}", decimal(steps.front().loss, 3)));
    } else out += tile("loss", "", "");
    const run::EvaluationMean *base = nullptr, *tuned = nullptr;
    if (run.evaluation)
        for (const auto& mean : run.evaluation->means)
            if (mean.name == "all benchmarks") (mean.model == "base" ? base : tuned) = &mean;
    out +=
        tile("mean score",
             tuned  ? decimal(tuned->value, 1)
             : base ? decimal(base->value, 1)
                    : "",
             tuned && base ? fmt::format("from {} before, {:+.1f}", decimal(base->value, 1), tuned->value - base->value)
             : base        ? "before fine-tuning"
                           : "");
    if (!run.costs.empty())
        out +=
            tile("paid for answers", dollars(found.usd), found.price_known ? "" : "a lower bound: some prices unknown");
    return out + "</div>\n";
}

std::string html_page(const Page& page) {
    const auto& provenance = page.run.record.provenance;
    const auto known = [&](const char* key) {
        const auto found = provenance.find(key);
        return found == provenance.end() ? std::string() : found->second;
    };
    const auto title = page.settings.title.empty()
                           ? std::filesystem::absolute(page.run.paths.root()).lexically_normal().filename().string()
                           : page.settings.title;
    std::string meta;
    for (const auto& [key, words] : {std::pair("created", "begun"), std::pair("ranks", "ranks"),
                                     std::pair("version", "taskgalaxy"), std::pair("job", "job")})
        if (const auto text = known(key); !text.empty())
            meta += fmt::format("{}{} {}", meta.empty() ? "" : " · ", words, escaped(text));
    std::string out = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\">\n<title>{} · "
        "taskgalaxy</title>\n<style>{}</style>\n</head>\n<body>\n<div class=\"wrap\">\n",
        escaped(title), style_sheet);
    out += fmt::format(
        "<header><p class=\"kicker\">taskgalaxy · report of a run</p><h1>{}</h1><p "
        "class=\"meta\">{}</p></header>\n<nav>",
        escaped(title), meta);
    for (const auto& section : sections()) out += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.title);
    out += "</nav>\n<main>\n" + key_figures(page);
    for (const auto& section : sections())
        out += fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", section.id, section.title,
                           section.body(page));
    return out + fmt::format(
                     "</main>\n<footer>Written {} from the files of the run directory; each caption names its files, "
                     "and the tables lie beside this page as CSV.</footer>\n</div>\n</body>\n</html>\n",
                     utc_now());
}

}  // namespace tg::report
