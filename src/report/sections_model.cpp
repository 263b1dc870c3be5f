// The model's half of the page: training, scores, and what the run took.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "charts.hpp"
#include "html.hpp"
#include "sections.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::report {
namespace {

constexpr std::size_t most_points = 600;  // of a curve; more would only be pixels

using Points = std::vector<std::pair<double, double>>;

Points thinned(const std::vector<double>& x, const std::vector<double>& y) {
    Points out;
    const std::size_t stride = std::max<std::size_t>(1, x.size() / most_points);
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); i += stride) out.emplace_back(x[i], y[i]);
    if (!x.empty() && (x.size() - 1) % stride != 0) out.emplace_back(x.back(), y.back());
    return out;
}

template <class Row> std::vector<double> column(const std::vector<Row>& rows, double Row::*member) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const auto& row : rows) values.push_back(row.*member);
    return values;
}

// Exponential mean over about a fiftieth of the run, unbiased at its start.
std::vector<double> smoothed(const std::vector<double>& values) {
    const double keep = 1 - 1 / std::max(4.0, static_cast<double>(values.size()) / 50);
    std::vector<double> out;
    double sum = 0, weight = 0;
    for (const double value : values) {
        if (std::isfinite(value)) {
            sum = keep * sum + value;
            weight = keep * weight + 1;
        }
        out.push_back(weight > 0 ? sum / weight : value);
    }
    return out;
}

std::pair<double, double> range_of(const std::vector<double>& values) {
    double least = HUGE_VAL, most = -HUGE_VAL;
    for (const double value : values)
        if (std::isfinite(value)) {
            least = std::min(least, value);
            most = std::max(most, value);
        }
    return least > most ? std::pair(0.0, 1.0) : std::pair(least, most);
}

double mean_of(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// Three digits that matter, thousands set apart.
std::string short_number(double value) {
    if (!std::isfinite(value)) return "–";
    return std::abs(value) >= 1000 ? whole(static_cast<std::uint64_t>(std::llround(std::abs(value))))
                                   : fmt::format("{:.3g}", std::abs(value) < 1e-4 ? 0.0 : value);
}

std::string score_text(double value, double full) {
    return full == 100 ? decimal(value, 2)
                       : fmt::format("{} <span class=\"dim\">of {:.0f}</span>", decimal(value, 1), full);
}

}  // namespace

std::string training_section(const Page& page) {
    if (!page.run.training) return not_run("No model has been fine-tuned.", run::files::training_log);
    const auto& log = *page.run.training;
    if (log.steps.empty()) return not_run("The training log holds no step.", run::files::training_log);
    const auto step = column(log.steps, &run::LogRow::step), loss = column(log.steps, &run::LogRow::loss);
    const auto smooth = smoothed(loss);
    const double first = step.front(), last = std::max(step.back(), step.front() + 1);
    const auto [least, most] = range_of(loss);
    const auto held_step = column(log.validation, &run::ValidationRow::step),
               held_loss = column(log.validation, &run::ValidationRow::loss);
    const bool held = !held_loss.empty();
    std::vector<std::pair<std::string_view, std::string>> names{{"c4", "each step"}, {"c1", "smoothed"}};
    std::vector<Series> lines{{"each step", "c4", thinned(step, loss), true},
                              {"smoothed", "c1", thinned(step, smooth)}};
    auto words =
        fmt::format("From <b>{}</b> at the first step to <b>{}</b> at the last ({} smoothed), {} steps.",
                    decimal(loss.front(), 3), decimal(loss.back(), 3), decimal(smooth.back(), 3), whole(step.size()));
    if (held) {
        names.push_back({"c3", "samples held out"});
        lines.push_back({"samples held out", "c3", thinned(held_step, held_loss)});
        words += fmt::format(" Of the samples held out: <b>{}</b> before, <b>{}</b> after.",
                             decimal(held_loss.front(), 3), decimal(held_loss.back(), 3));
    }
    if (!log.roll_backs.empty()) words += fmt::format(" Rolled back {} times.", log.roll_backs.size());
    const double top = held ? std::max(most, range_of(held_loss).second) : most;
    auto out = figure(
        "Loss",
        legend(names) + line_chart({"step", first, last, 0},
                                   {"loss", std::min(0.0, least), top > 0 ? top * 1.03 : 1, top < 1 ? 2 : 1}, lines),
        words, "training_log.h5: step, loss, validation");
    // Learning rates are tiny: their power of ten goes into the label.
    auto rates = column(log.steps, &run::LogRow::lr);
    const double peak = range_of(rates).second;
    const double unit = peak > 0 ? std::pow(10, std::floor(std::log10(peak))) : 1;
    for (auto& rate : rates) rate /= unit;
    out += figure(
        "Learning rate",
        line_chart({"step", first, last, 0}, {fmt::format("× {:.0e}", unit), 0, std::max(1.0, peak / unit * 1.08), 1},
                   {{"learning rate", "c3", thinned(step, rates)}}),
        fmt::format("At most {:.3g}.", peak), "training_log.h5: step, lr");
    std::vector<std::vector<std::string>> rows;
    const std::pair<double run::LogRow::*, const char*> speeds[] = {
        {&run::LogRow::tokens_per_s, "tokens a second"},
        {&run::LogRow::padded_tokens_per_s, "tokens a second, were sequences padded"},
        {&run::LogRow::tflops, "model TFLOP/s a rank"},
        {&run::LogRow::mfu, "MFU: model FLOP/s over the device's peak"},
        {&run::LogRow::seconds, "seconds a step"},
        {&run::LogRow::data_wait_s, "seconds a step waiting for data"},
        {&run::LogRow::communication_s, "seconds a step in communication"},
        {&run::LogRow::grad_norm, "norm of the gradient"},
        {&run::LogRow::memory_mib, "memory, MiB"}};
    for (const auto& [member, meaning] : speeds) {
        const auto values = column(log.steps, member);
        const auto [low, high] = range_of(values);
        if (member == &run::LogRow::mfu && high == 0) continue;  // no peak is known
        rows.push_back({meaning, short_number(mean_of(values)), short_number(low), short_number(high)});
    }
    out += figure("Speed", table({"", "mean#", "least#", "most#"}, rows), "Over all steps of the log.",
                  run::files::training_log);
    return out;
}

std::string scores_section(const Page& page) {
    if (!page.run.evaluation) return not_run("No benchmark has been answered.", run::files::evaluation);
    const auto& evaluation = *page.run.evaluation;
    if (evaluation.rows.empty()) return not_run("The job configures no benchmark.", run::files::evaluation);
    std::map<std::string, std::map<std::string, const run::EvaluationRow*>> by_benchmark;
    std::vector<std::string> order;
    for (const auto& row : evaluation.rows) {
        auto& models = by_benchmark[row.benchmark];
        if (models.empty()) order.push_back(row.benchmark);
        models[row.model] = &row;
    }
    std::vector<Change> changes;
    std::vector<std::vector<std::string>> rows;
    std::vector<std::string> notes;
    const auto is_done = [](const run::EvaluationRow* row) { return row && row->done(); };
    for (const auto& name : order) {
        const auto* base = by_benchmark[name].contains("base") ? by_benchmark[name]["base"] : nullptr;
        const auto* tuned = by_benchmark[name].contains("tuned") ? by_benchmark[name]["tuned"] : nullptr;
        const auto* any = base ? base : tuned;
        const auto title = any->title == name || any->title.empty() ? name : fmt::format("{} ({})", any->title, name);
        if (is_done(base) || is_done(tuned))
            changes.push_back({name, is_done(base) ? base->score : 0, is_done(tuned) ? tuned->score : 0, is_done(base),
                               is_done(tuned)});
        const auto cell = [&](const run::EvaluationRow* row) {
            return !row          ? std::string("–")
                   : row->done() ? score_text(row->value, row->full)
                                 : std::string("<span class=\"dim\">not run</span>");
        };
        rows.push_back(
            {escaped(title), escaped(any->headline), cell(base), cell(tuned),
             is_done(base) && is_done(tuned) ? fmt::format("{:+.2f}", tuned->score - base->score) : "",
             whole(any->questions),
             fmt::format("{}{}", base ? whole(base->unread) : "–", tuned ? " / " + whole(tuned->unread) : ""),
             any->in_mean ? "yes" : "no"});
        for (const auto* row : {base, tuned})
            if (row && (!row->note.empty() || !row->done()))
                notes.push_back(fmt::format(
                    "<b>{}, {}:</b> {}", escaped(row->benchmark), escaped(row->model),
                    escaped(row->done() ? row->note : row->state + (row->note.empty() ? "" : "; " + row->note))));
    }
    std::vector<std::string> means;
    std::map<std::string, std::pair<const run::EvaluationMean*, const run::EvaluationMean*>> by_mean;
    for (const auto& mean : evaluation.means)
        (mean.model == "base" ? by_mean[mean.name].first : by_mean[mean.name].second) = &mean;
    for (const auto& [name, pair] : by_mean) {
        const auto [base, tuned] = pair;
        rows.push_back({fmt::format("<b>Mean, {}</b>", escaped(name)),
                        fmt::format("<span class=\"dim\">{}</span>", escaped((base ? base : tuned)->benchmarks)),
                        base ? fmt::format("<b>{}</b>", decimal(base->value, 2)) : "–",
                        tuned ? fmt::format("<b>{}</b>", decimal(tuned->value, 2)) : "–",
                        base && tuned ? fmt::format("<b>{:+.2f}</b>", tuned->value - base->value) : "", "", "", ""});
    }
    auto out =
        changes.empty()
            ? std::string()
            : figure(
                  "Before and after fine-tuning",
                  "<p class=\"legend\"><span><i class=\"ring\"></i>before</span><span><i class=\"c1\"></i>after, "
                  "better</span><span><i class=\"c2\"></i>after, worse</span></p>" +
                      change_chart(changes),
                  "Each benchmark's headline on the common scale of 0 to 100; the number is the difference in points.",
                  "evaluation.h5: score");
    out += figure(
        "Scores",
        table({"benchmark", "figure", "before#", "after#", "difference#", "questions#", "not understood#", "in mean"},
              rows),
        fmt::format("Answers read by the {} rules, prompts worded as for {}, greedy decoding.{}",
                    escaped(evaluation.convention), escaped(evaluation.prompts),
                    evaluation.judge.empty() ? std::string() : " Judge: " + escaped(evaluation.judge) + "."),
        "evaluation.h5 · export/predictions");
    if (!notes.empty()) {
        out += "<ul class=\"notes\">";
        for (const auto& note : notes) out += "<li>" + note + "</li>";
        out += "</ul>";
    }
    rows.clear();
    std::map<std::string, std::map<std::string, const run::EvaluationFigure*>>
        parts;  // "benchmark, figure" -> model -> figure
    std::vector<std::pair<std::string, std::string>> part_order;
    for (const auto& f : evaluation.figures) {
        auto& models = parts[f.benchmark + "\n" + f.name];
        if (models.empty()) part_order.emplace_back(f.benchmark, f.name);
        models[f.model] = &f;
    }
    for (const auto& [benchmark, name] : part_order) {
        const auto& models = parts[benchmark + "\n" + name];
        const auto value = [&](const char* model) {
            return models.contains(model) ? score_text(models.at(model)->value, models.at(model)->full)
                                          : std::string("–");
        };
        rows.push_back(
            {escaped(benchmark), escaped(name), value("base"), value("tuned"), whole(models.begin()->second->items)});
    }
    if (!rows.empty())
        out += "<details><summary>Every figure of every benchmark</summary>" +
               table({"benchmark", "figure", "before#", "after#", "items#"}, rows) + "</details>";
    return out;
}

// The step under which `evaluate` asks its judge.
constexpr std::string_view evaluation_step = "judge";

std::string costs_section(const Page& page) {
    if (page.run.costs.empty()) return not_run("Nothing has been asked, so nothing was paid.", "costs/");
    std::vector<std::vector<std::string>> rows;
    std::vector<Bar> bars;
    ExpenseRow sum{};
    double for_samples = 0;  // the judge of benchmarks is no part of a sample's price
    for (const auto& cost : page.run.costs) {
        rows.push_back(
            {escaped(cost.stage), escaped(cost.endpoint), whole(static_cast<std::uint64_t>(cost.asked)),
             whole(static_cast<std::uint64_t>(cost.from_journal)), whole(static_cast<std::uint64_t>(cost.retries)),
             whole(static_cast<std::uint64_t>(cost.failed)), whole(static_cast<std::uint64_t>(cost.tokens_in)),
             whole(static_cast<std::uint64_t>(cost.tokens_out)), cost.price_known ? dollars(cost.usd) : "unknown"});
        if (cost.price_known)
            bars.push_back({fmt::format("{} · {}", escaped(cost.stage), escaped(cost.endpoint)),
                            {{cost.usd, "c1", dollars(cost.usd)}},
                            "<b>" + dollars(cost.usd) + "</b>"});
        if (cost.price_known && cost.stage != evaluation_step) for_samples += cost.usd;
        sum.asked += cost.asked, sum.from_journal += cost.from_journal, sum.retries += cost.retries,
            sum.failed += cost.failed, sum.tokens_in += cost.tokens_in, sum.tokens_out += cost.tokens_out;
    }
    rows.push_back({"<b>all</b>", "", whole(static_cast<std::uint64_t>(sum.asked)),
                    whole(static_cast<std::uint64_t>(sum.from_journal)), whole(static_cast<std::uint64_t>(sum.retries)),
                    whole(static_cast<std::uint64_t>(sum.failed)), whole(static_cast<std::uint64_t>(sum.tokens_in)),
                    whole(static_cast<std::uint64_t>(sum.tokens_out)),
                    "<b>" + dollars(page.found.usd) + (page.found.price_known ? "" : " and more") + "</b>"});
    const auto per_kept = page.found.kept == 0
                              ? std::string()
                              : fmt::format(" That is {} a thousand kept samples.",
                                            dollars(for_samples / static_cast<double>(page.found.kept) * 1000));
    return figure("What asking cost",
                  bar_list(bars) + table({"stage", "endpoint", "requests#", "from journal#", "sent again#", "failed#",
                                          "tokens in#", "tokens out#", "cost#"},
                                         rows),
                  "Answers that count, whichever life of the run paid for them." + per_kept +
                      (page.found.price_known ? "" : " Some prices are not known: the sum is a lower bound."),
                  "costs/*.json");
}

std::string time_section(const Page& page) {
    if (page.run.record.stages.empty()) return not_run("No stage is done.", run::files::record);
    std::vector<Bar> bars;
    double sum = 0;
    for (const auto& stage : page.run.record.stages) {
        bars.push_back({escaped(stage.stage),
                        {{stage.seconds, "c1", duration_text(stage.seconds)}},
                        fmt::format("<b>{}</b>", duration_text(stage.seconds))});
        sum += stage.seconds;
    }
    return figure("Time a stage took", bar_list(bars),
                  fmt::format("{} in all, over every life of the run.", duration_text(sum)), "run.h5: seconds");
}

std::string provenance_section(const Page& page) {
    const auto& record = page.run.record;
    if (record.stages.empty() && record.provenance.empty())
        return not_run("The run has no record.", run::files::record);
    std::vector<std::vector<std::string>> rows;
    for (const auto& [key, text] : record.provenance)
        rows.push_back({escaped(key), fmt::format("<span class=\"pre\">{}</span>", escaped(trimmed(text)))});
    auto out = figure("Where and with what", table({"", ""}, rows), "As the last life of the run found it.",
                      "run.h5: provenance");
    rows.clear();
    for (const auto& stage : record.stages)
        rows.push_back({escaped(stage.stage), fmt::format("<code>{}</code>", escaped(stage.fingerprint)),
                        escaped(stage.finished), duration_text(stage.seconds)});
    if (!rows.empty())
        out += figure("Stages",
                      table({"stage", "fingerprint of its inputs and settings", "finished (UTC)", "time#"}, rows),
                      "A stage whose fingerprint changes is stale and is never mixed with the others.",
                      "run.h5: stage, fingerprint, finished");
    rows.clear();
    for (const auto& stage : record.stages)
        for (const auto& [name, value] : stage.figures)
            rows.push_back({escaped(stage.stage), escaped(name), fmt::format("{:.6g}", value)});
    if (!rows.empty())
        out += "<details><summary>Every figure that the stages left</summary>" +
               table({"stage", "figure", "value#"}, rows) + "</details>";
    if (!page.run.job_text.empty())
        out +=
            "<details><summary>The job as it was understood, every default filled in <span "
            "class=\"source\">job.cfg</span></summary><pre>" +
            escaped(page.run.job_text) + "</pre></details>";
    return out;
}

}  // namespace tg::report
