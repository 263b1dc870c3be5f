#include "tables.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/taxonomy/bands.hpp"

namespace tg::report {
namespace {

class Csv {
public:
    explicit Csv(const std::vector<std::string>& columns) { line(columns); }
    template <class... Cells> void row(const Cells&... cells) { line({fmt::format("{}", cells)...}); }
    const std::string& text() const { return text_; }

private:
    void line(const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const bool plain = cells[i].find_first_of(",\"\n\r") == std::string::npos;
            text_ += fmt::format("{}{}", i == 0 ? "" : ",",
                                 plain ? cells[i] : "\"" + replace_all(cells[i], "\"", "\"\"") + "\"");
        }
        text_ += "\r\n";
    }
    std::string text_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> csv_tables(const RunData& run, const Findings& found) {
    std::vector<std::pair<std::string, std::string>> out;

    if (!run.record.stages.empty()) {
        Csv stages({"stage", "finished", "seconds", "fingerprint"}), figures({"stage", "figure", "value"});
        for (const auto& stage : run.record.stages) {
            stages.row(stage.stage, stage.finished, stage.seconds, stage.fingerprint);
            for (const auto& [name, value] : stage.figures) figures.row(stage.stage, name, value);
        }
        out.emplace_back("stages.csv", stages.text());
        out.emplace_back("figures.csv", figures.text());
    }
    if (run.pool) {
        Csv bad({"uri", "status", "reason"});
        for (std::size_t i = 0; i < run.pool->size(); ++i)
            if (run.pool->status[i] != 0)
                bad.row(run.pool->uri[i], pictures::name_of(static_cast<pictures::PictureStatus>(run.pool->status[i])),
                        run.pool->reason[i]);
        out.emplace_back("bad_pictures.csv", bad.text());
    }
    if (run.taxonomy) {
        const bool curated = run.curation.has_value();
        Csv types({"task_type", "level", "leaf", "samples", "kept", "band"});
        for (std::size_t type = 0; type < run.taxonomy->size(); ++type) {
            const auto samples = curated ? found.samples_of_type[type] : 0,
                       kept = curated ? found.kept_of_type[type] : 0;
            types.row(run.taxonomy->path(type), run.taxonomy->level(type), run.taxonomy->leaf(type) ? 1 : 0, samples,
                      kept, kept == 0 ? std::string_view("none") : taxonomy::band_of(kept));
        }
        out.emplace_back("types.csv", types.text());
        Csv branches({"level1", "types", "leaves", "offered", "fitting", "samples", "kept", "pictures_best_here",
                      "none", "none_rate"});
        for (const auto& b : found.branches)
            branches.row(b.name, b.types, b.leaves, b.offered, b.fitting, b.samples, b.kept, b.images, b.none,
                         b.none_rate());
        out.emplace_back("level1_types.csv", branches.text());
    }
    if (found.hits) {
        Csv hits({"types_looked_at", "own_folder_found", "by_chance", "pictures"});
        for (std::size_t r = 0; r < found.hits->own_folder.size(); ++r)
            hits.row(r + 1, found.hits->own_folder[r], found.hits->chance[r], found.hits->pictures);
        out.emplace_back("match_hits.csv", hits.text());
    }
    if (found.votes) {
        Csv votes({"votes_for", "votes_against", "samples"});
        const auto judges = found.votes->for_sample.size() - 1;
        for (std::size_t ones = 0; ones <= judges; ++ones)
            votes.row(ones, judges - ones, found.votes->for_sample[ones]);
        out.emplace_back("votes.csv", votes.text());
        Csv judging({"judge", "for", "against", "no_vote"});
        for (std::size_t j = 0; j < judges; ++j)
            judging.row(run.curation->samples.judges()[j], found.votes->judge[j][1], found.votes->judge[j][0],
                        found.votes->judge[j][2]);
        out.emplace_back("judges.csv", judging.text());
    }
    if (found.bands) {
        Csv bands({"band", "types", "samples"});
        bands.row("none", found.bands->none, 0);
        for (std::size_t b = 0; b < found.bands->types.size(); ++b)
            bands.row(found.bands->types[b].first, found.bands->types[b].second, found.bands->samples[b].second);
        out.emplace_back("bands.csv", bands.text());
    }
    if (found.screening) {
        const auto& s = *found.screening;
        Csv screening({"sample", "rejected", "kept"});
        screening.row("planted wrong", s.wrong_rejected, s.wrong_kept);
        screening.row("right", s.right_rejected, s.right_kept);
        out.emplace_back("screening.csv", screening.text());
    }
    if (run.evaluation) {
        Csv scores({"model", "benchmark", "figure", "value", "full", "items"});
        for (const auto& f : run.evaluation->figures)
            scores.row(f.model, f.benchmark, f.name, f.value, f.full, f.items);
        for (const auto& m : run.evaluation->means) scores.row(m.model, "(mean)", m.name, m.value, 100, m.benchmarks);
        out.emplace_back("scores.csv", scores.text());
    }
    if (!run.costs.empty()) {
        Csv costs({"stage", "endpoint", "requests", "from_journal", "retries", "failed", "tokens_in", "tokens_out",
                   "usd", "price_known"});
        for (const auto& c : run.costs)
            costs.row(c.stage, c.endpoint, c.asked, c.from_journal, c.retries, c.failed, c.tokens_in, c.tokens_out,
                      c.usd, c.price_known ? 1 : 0);
        out.emplace_back("costs.csv", costs.text());
    }
    if (run.training) {
        const auto& [steps, validation, roll_backs] = *run.training;
        const auto line_of = [](const run::LogRow& row, const auto& field) {
            std::map<std::string, std::string> fields;  // in order of their names
            for (const auto& [name, value] : run::named_columns(row)) fields[name] = field(name, value);
            std::string line;
            for (const auto& [name, text] : fields) line += (line.empty() ? "" : ",") + text;
            return line + "\r\n";
        };
        auto text = line_of({}, [](const std::string& name, double) { return name; });
        for (const auto& row : steps)
            text += line_of(row, [](const std::string&, double value) { return fmt::format("{}", value); });
        out.emplace_back("training.csv", std::move(text));
        if (!validation.empty()) {
            Csv held_out({"step", "loss"});
            for (const auto& row : validation) held_out.row(row.step, row.loss);
            out.emplace_back("validation.csv", held_out.text());
        }
    }
    return out;
}

}  // namespace tg::report
