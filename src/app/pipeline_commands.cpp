// Commands that take a job through the pipeline, or say what that would take.
#include <cstdint>
#include <fmt/format.h>

#include "acts.hpp"
#include "command_line.hpp"
#include "read_job.hpp"
#include "taskgalaxy/pipeline/runner.hpp"
#include "taskgalaxy/pipeline/stages.hpp"

namespace tg::app {
namespace {

std::string amount_text(double amount) {
    const auto whole = static_cast<std::int64_t>(amount);
    return amount == static_cast<double>(whole) ? fmt::format("{}", whole) : fmt::format("{:.2f}", amount);
}

}  // namespace

int run(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options;
    auto option = options.add_options();
    option("stages", po::value<Arguments>()->composing(), "only these stages, comma separated");
    option("set", po::value<Arguments>()->composing(), "section.key=value, over the job file");
    option("redo", po::value<Arguments>()->composing(), "do these stages, and what follows from them, again");
    option("time-limit", po::value<double>(), "seconds after which to checkpoint and leave with code 75");
    option("limit-items", po::value<std::int64_t>(), "a pilot: only the first N pictures go to the models");
    const CommandLine line("run", arguments, options, "JOB");
    auto sets = line.all("set");
    if (line.has("time-limit")) sets.push_back(fmt::format("run.time_limit_s={}", line.get<double>("time-limit")));
    if (line.has("limit-items"))
        sets.push_back(fmt::format("refine.limit_items={}", line.get<std::int64_t>("limit-items")));
    auto job = read_job(world, line.word(), sets);
    return pipeline::run_job(world, job, {line.list("stages"), line.list("redo")});
}

int plan(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("set", po::value<Arguments>()->composing(), "section.key=value");
    const CommandLine line("plan", arguments, options, "JOB");
    auto job = read_job(world, line.word(), line.all("set"));
    if (!world.is_root()) return 0;
    const run::Paths paths(job.run.folder);
    for (const auto& stage : pipeline::make_pipeline(job)) {
        fmt::print("{}: {}\n", stage->name(), stage->purpose());
        for (const auto& item : stage->plan(paths))
            fmt::print("  {:<32} {:>14} {}{}\n", item.what, amount_text(item.amount), item.unit,
                       item.note.empty() ? "" : "  (" + item.note + ")");
    }
    return 0;
}

}  // namespace tg::app
