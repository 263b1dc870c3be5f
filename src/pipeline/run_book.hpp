// What rank 0 knows about a run directory: which stages are done there, and for each whether it is to be done now. It
// holds the directory's lock for as long as it lives. The other ranks are told its decisions (Decision is a message).
//
// A stage is stale when what decides its result is not what run.h5 remembers: its settings and outside files
// (Stage::describe_inputs), or the fingerprints of the stages whose files it reads. A stale stage is an error that
// names what changed, never done again unasked; only a stage whose *looks_at* files are new is.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "taskgalaxy/run/lock.hpp"
#include "taskgalaxy/run/record.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::pipeline {

using Stages = std::vector<std::unique_ptr<run::Stage>>;

enum class Action { skip, run };

struct Decision {
    Action action = Action::skip;
    std::string fingerprint;  // of the stage's inputs and settings; empty for a stage that was not chosen

    template <class Self> static auto fields(Self& self) { return std::tie(self.action, self.fingerprint); }
};

class RunBook {
public:
    // Names of stages.
    struct Choice {
        std::set<std::string> only;  // empty: all
        std::set<std::string> redo;  // these, and what follows from them, though done before
    };
    // The sections of the job file that a stage obeys; named ones end in '.'.
    using SectionsOf = std::function<std::vector<std::string>(const std::string& stage)>;

    // Makes and locks `folder`, reads what is done there and clears the progress of earlier lives. `stages`, in
    // pipeline order, must outlive the book; `job_text` is the job as understood. Throws StorageError.
    RunBook(std::filesystem::path folder, const Stages& stages, Choice choice, std::string job_text,
            SectionsOf sections_of);

    // Checks the stages that will be run, before anything is. Throws what the first failing one throws; an endpoint's
    // failure only where nothing else is wrong.
    void check_stages() const;

    // Called in pipeline order, after the stages before it are done. Throws UsageError where the stage is stale, or
    // needs a file of a stage that was never done.
    Decision decide(const run::Stage& stage);

    bool is_done(const run::Stage& stage) const { return record_.find(std::string(stage.name())) != nullptr; }
    // Adds this life of the run to its provenance.
    void note_life(const std::string& job_path, int ranks);
    // Until note_done(), the stage counts as never done; the job file is kept now that nothing in it was refused.
    void note_begun(const run::Stage& stage);
    void note_done(const run::Stage& stage, run::StageRecord result);

private:
    // Hexadecimal: of what it reads, its settings and outside files; "-" and of what it looks at, if it does.
    std::string fingerprint(const run::Stage& stage) const;
    std::string view_fingerprint(const run::Stage& stage) const;
    Action action(const run::Stage& stage, const std::string& print);

    bool is_chosen(const run::Stage& stage) const;
    bool is_up_to_date(const run::Stage& stage) const;
    // Whether it uses what one of these stages makes.
    bool follows(const run::Stage& stage, const std::set<std::string>& others) const;
    const run::Stage* maker_of(const std::string& file) const;
    // A file of the stage that is not there; empty where all are.
    std::string missing_file(const run::Stage& stage) const;
    // " (embed.batch 32 -> 64)" from the job file of last time; empty when only files changed.
    std::string what_changed(const std::string& stage) const;

    const Stages& stages_;
    Choice choice_;
    std::string job_text_;
    SectionsOf sections_of_;
    run::Paths paths_;
    run::Lock lock_;
    run::Record record_;
    std::string old_job_;  // of the last life; empty in the first
    std::set<std::string> redone_;
};

}  // namespace tg::pipeline
