#include "status.hpp"

#include <fmt/format.h>
#include <map>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pipeline/stages.hpp"
#include "taskgalaxy/run/lock.hpp"
#include "taskgalaxy/run/record.hpp"

namespace tg::app {
namespace {

// One piece of work in progress, summed over the ranks that reported it.
struct Status {
    std::filesystem::path run;
    std::string holder;
    run::Record record;
    std::map<std::string, UnderWay> under_way;
};

Status read_status(const std::filesystem::path& run) {
    if (!std::filesystem::exists(run / run::files::record))
        throw InputError(fmt::format("{}: not a run directory (it has no run.h5)", run.string()),
                         "give the folder that run.folder names in the job file");
    Status status{run, run::Lock::holder(run), run::Record(run / run::files::record),
                  read_progress(run::Paths(run).progress())};
    std::erase_if(status.under_way, [&](const auto& work) {
        return status.record.find(work.first) != nullptr;
    });  // done, if with less than was wanted
    return status;
}

double seconds_to_go(const UnderWay& work) {
    return work.per_second > 0 && work.total > work.done ? static_cast<double>(work.total - work.done) / work.per_second
                                                         : 0;
}

std::string figure_text(double value) {
    return value == static_cast<double>(static_cast<std::int64_t>(value))
               ? fmt::format("{}", static_cast<std::int64_t>(value))
               : fmt::format("{:.4g}", value);
}

}  // namespace

std::string status_text(const std::filesystem::path& run) {
    const auto status = read_status(run);
    auto text =
        fmt::format("{}: {}\n", run.string(), status.holder.empty() ? "not running" : "running, " + status.holder);
    for (const auto& name : pipeline::stage_names()) {
        if (const auto* done = status.record.find(name)) {
            std::vector<std::string> figures;
            for (const auto& [figure, value] : done->figures) figures.push_back(figure + " " + figure_text(value));
            text += fmt::format("  {:<12} done {} in {}{}{}\n", name, done->finished, duration_text(done->seconds),
                                figures.empty() ? "" : ": ", join(figures, ", "));
        } else {
            text += fmt::format("  {:<12} not done\n", name);
        }
    }
    for (const auto& [name, work] : status.under_way) {
        const auto percent =
            work.total ? 100.0 * static_cast<double>(work.done) / static_cast<double>(work.total) : 100.0;
        text += fmt::format("  {} {}: {}/{} {} ({:.1f} %), {:.1f}/s", status.holder.empty() ? "interrupted in" : "now",
                            name, work.done, work.total, work.unit, percent, work.per_second);
        if (!status.holder.empty() && seconds_to_go(work) > 0)
            text += ", " + duration_text(seconds_to_go(work)) + " to go";
        if (!work.note.empty()) text += ", " + work.note;
        text += '\n';
    }
    return text;
}

std::string status_json(const std::filesystem::path& run) {
    const auto status = read_status(run);
    nlohmann::json out{{"run", run.string()},
                       {"running", !status.holder.empty()},
                       {"holder", status.holder},
                       {"stages", nlohmann::json::object()},
                       {"under_way", nlohmann::json::object()}};
    for (const auto& name : pipeline::stage_names()) {
        const auto* done = status.record.find(name);
        auto& stage = out["stages"][name];
        stage["done"] = done != nullptr;
        if (!done) continue;
        stage["finished"] = done->finished;
        stage["seconds"] = done->seconds;
        for (const auto& [figure, value] : done->figures) stage["figures"][figure] = value;
    }
    for (const auto& [name, work] : status.under_way)
        out["under_way"][name] = {{"done", work.done},
                                  {"total", work.total},
                                  {"unit", work.unit},
                                  {"per_second", work.per_second},
                                  {"seconds_to_go", seconds_to_go(work)},
                                  {"note", work.note}};
    return out.dump(2) + "\n";
}

}  // namespace tg::app
