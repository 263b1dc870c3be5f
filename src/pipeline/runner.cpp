#include "taskgalaxy/pipeline/runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

#include "allocation.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/crash.hpp"
#include "taskgalaxy/core/heap.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/parallel/session.hpp"
#include "taskgalaxy/pipeline/job_file.hpp"
#include "taskgalaxy/pipeline/provenance.hpp"
#include "taskgalaxy/pipeline/stages.hpp"
#include "taskgalaxy/report/summary.hpp"
#include "taskgalaxy/run/cost_log.hpp"
#include "taskgalaxy/run/lock.hpp"
#include "taskgalaxy/run/record.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::pipeline {
namespace {

enum class Verdict : char { skip = 's', run = 'r' };

// What rank 0 knows about the run directory; the other ranks are told its verdicts.
class RunBook {
public:
    RunBook(Job& job, const RunChoice& choice, const std::vector<std::unique_ptr<run::Stage>>& stages)
        : only_(all_called(choice.stages)),
          redo_(all_called(choice.redo)),
          stages_(stages),
          paths_(job.run.folder),
          lock_(made(job.run.folder)),
          record_(paths_.file("run.h5")) {
        std::filesystem::remove_all(paths_.progress());  // of earlier lives, perhaps on more ranks
        old_job_ = std::filesystem::exists(paths_.file("job.cfg")) ? read_text_file(paths_.file("job.cfg")) : "";
        check_stages();
    }

    run::Record& record() { return record_; }
    const run::Paths& paths() const { return paths_; }

    // The job as run is written only once nothing in it is refused.
    void keep_job(const std::string& text) const { storage::publish_text(paths_.file("job.cfg"), text); }
    const std::string& old_job() const { return old_job_; }

    std::string fingerprint(const run::Stage& stage) const {
        DigestBuilder inputs;
        inputs.add(stage.name());
        for (const auto& file : stage.reads()) {
            const auto* maker = maker_of(file);
            const auto* made_by = maker ? record_.find(std::string(maker->name())) : nullptr;
            if (!made_by && maker)
                throw UsageError(fmt::format("stage {} needs {}, which stage {} makes and which is not there yet",
                                             stage.name(), file, maker->name()),
                                 fmt::format("run stage {} too", maker->name()));
            if (made_by) inputs.add(made_by->fingerprint);
        }
        stage.describe_inputs(inputs);
        return inputs.finish().hex() + view_fingerprint(stage);
    }

    // Called in pipeline order, after the stages before it are done.
    Verdict verdict(const run::Stage& stage, const std::string& print, const std::string& job_text) {
        const std::string name(stage.name());
        const bool asked_again = redo_.contains(name) || follows(stage, redone_);
        const auto* done = record_.find(name);
        if (asked_again) {
            redone_.insert(name);
            return Verdict::run;
        }
        if (!done) return Verdict::run;
        for (const auto& file : stage.writes())
            if (!std::filesystem::exists(paths_.file(file))) {
                log::warn("{}: {} is missing though stage {} was done; it is done again", paths_.root().string(), file,
                          name);
                return Verdict::run;
            }
        if (done->fingerprint == print) return Verdict::skip;
        // Only what it looks at is new: a page of figures is drawn again without asking.
        if (done->fingerprint.substr(0, hex_digits) == print.substr(0, hex_digits)) return Verdict::run;
        throw UsageError(
            fmt::format("{}: stage {} was done with other settings or inputs{}", paths_.root().string(), name,
                        what_changed(name, job_text)),
            fmt::format("--redo {} does it and what follows from it again, or give another run.folder", name));
    }

    bool is_chosen(const run::Stage& stage) const { return only_.empty() || only_.contains(std::string(stage.name())); }
    bool done(const run::Stage& stage) const { return record_.find(std::string(stage.name())) != nullptr; }

private:
    // What is wrong here is told before what is wrong elsewhere: a server that does not answer may be a matter of
    // minutes. Stages that were done before and whose inputs will not change need nothing any more.
    void check_stages() const {
        std::exception_ptr endpoint_failure;
        std::set<std::string> to_run;
        for (const auto& stage : stages_) {
            if (!is_chosen(*stage) || (!follows(*stage, to_run) && is_up_to_date(*stage))) continue;
            to_run.emplace(stage->name());
            try {
                stage->check();
            } catch (const EndpointError&) {
                if (!endpoint_failure) endpoint_failure = std::current_exception();
            }
        }
        if (endpoint_failure) std::rethrow_exception(endpoint_failure);
    }

    static const std::filesystem::path& made(const std::filesystem::path& folder) {
        std::error_code error;
        std::filesystem::create_directories(folder, error);
        if (error)
            throw StorageError(
                fmt::format("{}: the run directory cannot be made ({})", folder.string(), error.message()),
                "choose another run.folder");
        return folder;
    }

    static constexpr std::size_t hex_digits = 32;

    // Of the stages whose files this one looks at; empty where it looks at none.
    std::string view_fingerprint(const run::Stage& stage) const {
        if (stage.looks_at().empty()) return {};
        DigestBuilder seen;
        for (const auto& file : stage.looks_at()) {
            const auto* maker = maker_of(file);
            const auto* made_by = maker ? record_.find(std::string(maker->name())) : nullptr;
            seen.add(made_by ? made_by->fingerprint : "absent");
        }
        return "-" + seen.finish().hex();
    }

    const run::Stage* maker_of(const std::string& file) const {
        for (const auto& stage : stages_) {
            const auto made_files = stage->writes();
            if (std::find(made_files.begin(), made_files.end(), file) != made_files.end()) return stage.get();
        }
        return nullptr;
    }

    bool is_up_to_date(const run::Stage& stage) const {
        const auto* done = record_.find(std::string(stage.name()));
        if (!done || redo_.contains(std::string(stage.name()))) return false;
        for (const auto& file : stage.writes())
            if (!std::filesystem::exists(paths_.file(file))) return false;
        try {
            return done->fingerprint == fingerprint(stage);
        } catch (const Error&) {
            return false;  // its inputs are gone: its check, or its turn, says so
        }
    }

    // Whether it uses what one of these stages makes.
    bool follows(const run::Stage& stage, const std::set<std::string>& others) const {
        auto used = stage.reads();
        const auto more = stage.looks_at();
        used.insert(used.end(), more.begin(), more.end());
        return std::any_of(used.begin(), used.end(), [&](const auto& file) {
            const auto* maker = maker_of(file);
            return maker && others.contains(std::string(maker->name()));
        });
    }

    // ": embed.batch 32 -> 64" from the job file of last time; empty when only files changed.
    std::string what_changed(const std::string& stage, const std::string& new_job) const {
        const auto sections = sections_of(stage);
        std::vector<std::string> changes;
        const auto keys = [&](const std::string& text) {
            std::map<std::string, std::string> values;
            if (text.empty()) return values;
            for (const auto& a : parse_job_file(text, "job.cfg")) values[a.key] = a.value;
            return values;
        };
        const auto old_values = keys(old_job_), new_values = keys(new_job);
        for (const auto& [key, value] : new_values) {
            const bool concerns = std::any_of(sections.begin(), sections.end(),
                                              [&, &changed = key](const auto& s) { return changed.starts_with(s); });
            const auto old_value = old_values.find(key);
            if (concerns && (old_value == old_values.end() || old_value->second != value))
                changes.push_back(fmt::format("{} {} -> {}", key,
                                              old_value == old_values.end() ? "unset" : old_value->second, value));
        }
        return changes.empty() ? "" : " (" + join(changes, ", ") + ")";
    }

    static std::set<std::string> all_called(const std::vector<std::string>& words) {
        std::set<std::string> names;
        for (const auto& word : words)
            for (auto& name : stages_called(word)) names.insert(std::move(name));
        return names;
    }

    std::set<std::string> only_, redo_;
    const std::vector<std::unique_ptr<run::Stage>>& stages_;
    run::Paths paths_;
    run::Lock lock_;
    run::Record record_;
    std::string old_job_;
    std::set<std::string> redone_;
};

void keep_time_limit(const RunSettings& settings) {
    using Seconds = std::chrono::duration<double>;
    if (settings.time_limit_s > 0)
        return set_time_limit(Seconds(settings.time_limit_s), Seconds(settings.stop_margin_s));
    if (const double left = seconds_to_slurm_end(); left > 0)
        set_time_limit(Seconds(left), Seconds(settings.stop_margin_s));
}

// The verdict is rank 0's; an error there is everybody's.
std::pair<Verdict, std::string> agreed_verdict(const parallel::Communicator& world, RunBook* book,
                                               const run::Stage& stage, const std::string& job_text) {
    std::string told;
    parallel::together(world, [&] {
        if (!book) return;
        told = static_cast<char>(Verdict::skip);
        if (!book->is_chosen(stage)) return;  // not looked at: its inputs may be missing
        const auto fingerprint = book->fingerprint(stage);
        told = static_cast<char>(book->verdict(stage, fingerprint, job_text)) + fingerprint;
    });
    told = world.broadcast<std::string>(std::move(told));
    return {static_cast<Verdict>(told.at(0)), told.substr(1)};
}

}  // namespace

int run_job(const parallel::Communicator& world, Job& job, const RunChoice& choice) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::vector<std::unique_ptr<run::Stage>> stages;
    parallel::together(world, [&] { stages = make_pipeline(job); });
    const auto text = job.text();
    std::vector<std::string> mismatches;
    parallel::together(world, [&] {
        if (world.is_root())
            mismatches = check_allocation(job, world.size(), seconds_to_slurm_end(),
                                          [](const char* name) { return std::getenv(name); });
    });

    std::optional<RunBook> book;  // rank 0's
    parallel::together(world, [&] {
        if (world.is_root()) book.emplace(job, choice, stages);
    });
    const run::Paths paths(job.run.folder);
    parallel::together(world, [&] {
        log::open_log(paths.log(), world.rank());
        write_crashes_to(paths.log() / fmt::format("rank-{}.log", world.rank()));
        set_progress_folder(paths.progress(), world.rank());
    });
    parallel::Session::watch_collectives(std::chrono::seconds(job.run.watchdog_s));
    keep_time_limit(job.run);
    log::info("taskgalaxy {}: job {}, run directory {}, {} rank{}", version(), job.path, paths.root().string(),
              world.size(), world.size() == 1 ? "" : "s");
    for (const auto& line : mismatches) log::warn("{}", line);
    if (book) {
        describe_provenance(book->record().provenance(), job.path, world.size());
        book->record().save();
    }

    const auto judged = [&](const run::Stage& stage) {
        return agreed_verdict(world, book ? &*book : nullptr, stage, text);
    };
    std::vector<const run::Stage*> begun_early;
    for (const auto& stage : stages)
        if (stage != stages.front() && stage->reads().empty())
            if (const auto [verdict, fingerprint] = judged(*stage); verdict == Verdict::run) {
                stage->start_early({world, paths, fingerprint});
                begun_early.push_back(stage.get());
            }
    // One that fails asks the stages that run meanwhile to stop: its reason is the true one.
    const auto check_early = [&] {
        for (const auto* stage : begun_early) stage->check_early(world);
    };

    for (const auto& stage : stages) {
        const std::string name(stage->name());
        const auto [verdict, fingerprint] = judged(*stage);
        if (verdict == Verdict::skip) {
            if (book && book->done(*stage)) log::info("{}: done before", name);
            continue;
        }
        check_early();
        if (world.any(stop_requested())) throw parallel::AgreedFailure(ExitCode::requeue, 0, Stopped(name).what());
        const auto begin = Clock::now();
        run::StageContext context{world, paths, fingerprint};
        parallel::together(world, [&] {
            if (!book) return;
            if (book->old_job() != text) book->keep_job(text);
            book->record().forget(name);
            book->record().save();
        });
        const auto counted = costs_so_far();
        const auto seconds_in_it = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
        const auto keep_costs = [&] {
            auto cost = costs_so_far() - counted;
            cost.seconds = seconds_in_it();
            run::log_costs(world, paths.log() / "costs.csv", name, cost);
        };
        try {
            stage->run(context);
        } catch (const parallel::AgreedFailure& failure) {
            if (failure.code() == ExitCode::requeue) {
                check_early();
                keep_costs();
            }
            throw;
        }
        const double seconds = seconds_in_it();
        keep_costs();
        return_freed_memory();
        parallel::together(world, [&] {
            if (!book) return;
            book->record().set(name, {fingerprint, utc_now(), seconds, context.figures});
            book->record().save();
            log::info("{}: done in {}", name, duration_text(seconds));
        });
    }
    if (world.is_root()) {
        log::info("all stages done in {}", duration_text(std::chrono::duration<double>(Clock::now() - start).count()));
        fmt::print("{}", report::run_summary(paths));
    }
    return static_cast<int>(ExitCode::done);
}

}  // namespace tg::pipeline
