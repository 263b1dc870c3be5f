// Commands that look at the files of a run.
#include <cstdint>
#include <filesystem>
#include <fmt/format.h>

#include "acts.hpp"
#include "command_line.hpp"
#include "read_job.hpp"
#include "status.hpp"
#include "taskgalaxy/report/audit.hpp"
#include "taskgalaxy/report/overlap.hpp"
#include "taskgalaxy/report/report_stage.hpp"

namespace tg::app {

int status(const parallel::Communicator&, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("json", "for programs");
    const CommandLine line("status", arguments, options, "RUN");
    fmt::print("{}", line.has("json") ? status_json(line.word()) : status_text(line.word()));
    return 0;
}

int report(const parallel::Communicator& world, const Arguments& arguments) {
    const CommandLine line("report", arguments, {}, "RUN");
    const run::Paths paths(line.word());
    if (!std::filesystem::exists(paths.file(run::files::record)))
        throw InputError(fmt::format("{}: not a run directory (it has no run.h5)", paths.root().string()));
    auto job = read_job(world, paths.file(run::files::job), {});
    run::StageContext context{world, paths, ""};
    report::make_report_stage(job.report, job.pool, job.ground_truth)->run(context);
    fmt::print("{}\n", (paths.report() / "index.html").string());
    return 0;
}

int audit(const parallel::Communicator& world, const Arguments& arguments) {
    report::AuditSettings settings;
    po::options_description options;
    auto option = options.add_options();
    option("samples", po::value(&settings.samples), "on the sheet");
    option("rejected-share", po::value(&settings.rejected_share), "of the sheet");
    option("seed", po::value(&settings.seed), "of the draw");
    option("ratings", po::value<Arguments>()->composing(), "filled sheets, one a person");
    const CommandLine line("audit", arguments, options, "RUN");
    if (settings.samples < 1 || settings.rejected_share < 0 || settings.rejected_share > 1)
        throw line.wrong("--samples is at least 1, --rejected-share between 0 and 1");
    const run::Paths paths(line.word());
    if (line.has("ratings")) {
        const auto files = line.list("ratings");
        fmt::print("{}", report::audit_text(report::read_audit(paths, {files.begin(), files.end()})));
    } else {
        const auto job = read_job(world, paths.file(run::files::job), {});
        fmt::print("{}\n", report::write_audit_sheet(paths, job.pool, settings).string());
    }
    return 0;
}

int compare(const parallel::Communicator&, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("k", po::value<Arguments>()->composing(), "depths, as 5,10,20");
    const CommandLine line("compare", arguments, options, "RUN", 2);
    const auto given = line.counts("k", "depth (a number from 1)");
    std::vector<std::uint64_t> depths(given.begin(), given.end());
    if (depths.empty()) depths = {1, 5, 10, 20};
    const run::Paths one(line.word()), other(line.words().back());
    fmt::print("{}", report::overlap_text(report::match_overlap(one, other, depths)));
    return 0;
}

}  // namespace tg::app
