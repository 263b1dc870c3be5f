#include "taskgalaxy/pipeline/runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <optional>
#include <set>

#include "allocation.hpp"
#include "run_book.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/crash.hpp"
#include "taskgalaxy/core/heap.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/parallel/session.hpp"
#include "taskgalaxy/pipeline/provenance.hpp"
#include "taskgalaxy/pipeline/stages.hpp"
#include "taskgalaxy/report/summary.hpp"
#include "taskgalaxy/run/cost_log.hpp"

namespace tg::pipeline {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void keep_time_limit(const RunSettings& settings) {
    using Seconds = std::chrono::duration<double>;
    if (settings.time_limit_s > 0)
        return set_time_limit(Seconds(settings.time_limit_s), Seconds(settings.stop_margin_s));
    if (const double left = seconds_to_slurm_end(); left > 0)
        set_time_limit(Seconds(left), Seconds(settings.stop_margin_s));
}

RunBook::Choice named(const RunChoice& choice) {
    const auto all_called = [](const std::vector<std::string>& words) {
        std::set<std::string> names;
        for (const auto& word : words)
            for (auto& name : stages_called(word)) names.insert(std::move(name));
        return names;
    };
    return {all_called(choice.stages), all_called(choice.redo)};
}

// What a stage costs between its beginning and its end, or its stop.
class StageCosts {
public:
    // Seconds count from `begin`, everything else from now.
    explicit StageCosts(Clock::time_point begin) : begin_(begin) {}
    double seconds() const { return seconds_since(begin_); }
    // Collective.
    void log(const parallel::Communicator& world, const run::Paths& paths, const std::string& stage) const {
        auto cost = costs_so_far() - before_;
        cost.seconds = seconds();
        run::log_costs(world, paths.log() / "costs.csv", stage, cost);
    }

private:
    Clock::time_point begin_;
    Cost before_ = costs_so_far();
};

// One job on its way through the stages. Every member is collective.
class JobRun {
public:
    JobRun(const parallel::Communicator& world, Job& job) : world_(world), job_(job), paths_(job.run.folder) {
        parallel::together(world_, [&] { stages_ = make_pipeline(job_); });
    }
    const Stages& stages() const { return stages_; }

    // Opens the run directory and checks all that can be checked before work begins.
    void prepare(const RunChoice& choice);
    // Starts what waits for no other stage.
    void begin_early();
    // Runs the stage, unless it was done before or is not wanted.
    void take_turn(run::Stage& stage);
    void finish() const;

private:
    void open_logs() const;
    // The decision is rank 0's; an error there is everybody's.
    Decision decide(const run::Stage& stage);
    // One that fails asks the stages that run meanwhile to stop: its reason is the true one.
    void check_early() const;
    void run_stage(run::Stage& stage, const std::string& fingerprint);

    const parallel::Communicator& world_;
    Job& job_;
    run::Paths paths_;
    Clock::time_point start_ = Clock::now();
    Stages stages_;
    std::vector<const run::Stage*> begun_early_;
    std::optional<RunBook> book_;  // rank 0's; it refers to stages_
};

void JobRun::prepare(const RunChoice& choice) {
    std::vector<std::string> mismatches;
    parallel::together(world_, [&] {
        if (world_.is_root())
            mismatches = check_allocation(job_, world_.size(), seconds_to_slurm_end(),
                                          [](const char* name) { return std::getenv(name); });
    });
    parallel::together(world_, [&] {
        if (!world_.is_root()) return;
        book_.emplace(job_.run.folder, stages_, named(choice), job_.text(), sections_of);
        book_->check_stages();
    });
    open_logs();
    parallel::Session::watch_collectives(std::chrono::seconds(job_.run.watchdog_s));
    keep_time_limit(job_.run);
    log::info("taskgalaxy {}: job {}, run directory {}, {} rank{}", version(), job_.path, paths_.root().string(),
              world_.size(), world_.size() == 1 ? "" : "s");
    for (const auto& line : mismatches) log::warn("{}", line);
    if (book_) book_->note_life(job_.path, world_.size());
}

void JobRun::open_logs() const {
    parallel::together(world_, [&] {
        log::open_log(paths_.log(), world_.rank());
        write_crashes_to(paths_.log() / fmt::format("rank-{}.log", world_.rank()));
        set_progress_folder(paths_.progress(), world_.rank());
    });
}

Decision JobRun::decide(const run::Stage& stage) {
    Decision decision;
    parallel::together(world_, [&] {
        if (book_) decision = book_->decide(stage);
    });
    return world_.broadcast(std::move(decision));
}

void JobRun::begin_early() {
    for (const auto& stage : stages_) {
        if (stage == stages_.front() || !stage->reads().empty()) continue;
        const auto decision = decide(*stage);
        if (decision.action == Action::skip) continue;
        stage->start_early({world_, paths_, decision.fingerprint});
        begun_early_.push_back(stage.get());
    }
}

void JobRun::check_early() const {
    for (const auto* stage : begun_early_) stage->check_early(world_);
}

void JobRun::take_turn(run::Stage& stage) {
    const auto decision = decide(stage);
    if (decision.action == Action::skip) {
        if (book_ && book_->is_done(stage)) log::info("{}: done before", stage.name());
        return;
    }
    check_early();
    if (world_.any(stop_requested()))
        throw parallel::AgreedFailure(ExitCode::requeue, 0, Stopped(std::string(stage.name())).what());
    run_stage(stage, decision.fingerprint);
}

void JobRun::run_stage(run::Stage& stage, const std::string& fingerprint) {
    const std::string name(stage.name());
    const auto begin = Clock::now();
    parallel::together(world_, [&] {
        if (book_) book_->note_begun(stage);
    });
    const StageCosts costs(begin);
    run::StageContext context{world_, paths_, fingerprint};
    try {
        stage.run(context);
    } catch (const parallel::AgreedFailure& failure) {
        if (failure.code() == ExitCode::requeue) {
            check_early();
            costs.log(world_, paths_, name);
        }
        throw;
    }
    const double seconds = costs.seconds();
    costs.log(world_, paths_, name);
    return_freed_memory();
    parallel::together(world_, [&] {
        if (!book_) return;
        book_->note_done(stage, {fingerprint, utc_now(), seconds, context.figures});
        log::info("{}: done in {}", name, duration_text(seconds));
    });
}

void JobRun::finish() const {
    if (!world_.is_root()) return;
    log::info("all stages done in {}", duration_text(seconds_since(start_)));
    fmt::print("{}", report::run_summary(paths_));
}

}  // namespace

int run_job(const parallel::Communicator& world, Job& job, const RunChoice& choice) {
    JobRun run(world, job);
    run.prepare(choice);
    run.begin_early();
    for (const auto& stage : run.stages()) run.take_turn(*stage);
    run.finish();
    return static_cast<int>(ExitCode::done);
}

}  // namespace tg::pipeline
