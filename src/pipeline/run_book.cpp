#include "run_book.hpp"

#include <algorithm>
#include <exception>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pipeline/job_file.hpp"
#include "taskgalaxy/pipeline/provenance.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::pipeline {
namespace {

constexpr std::size_t hex_digits = 32;  // of a Digest

std::filesystem::path made(std::filesystem::path folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
        throw StorageError(fmt::format("{}: the run directory cannot be made ({})", folder.string(), error.message()),
                           "choose another run.folder");
    return folder;
}

std::map<std::string, std::string> values_in(const std::string& job_text) {
    std::map<std::string, std::string> values;
    if (job_text.empty()) return values;
    for (const auto& a : parse_job_file(job_text, "job.cfg")) values[a.key] = a.value;
    return values;
}

}  // namespace

RunBook::RunBook(std::filesystem::path folder, const Stages& stages, Choice choice, std::string job_text,
                 SectionsOf sections_of)
    : stages_(stages),
      choice_(std::move(choice)),
      job_text_(std::move(job_text)),
      sections_of_(std::move(sections_of)),
      paths_(made(std::move(folder))),
      lock_(paths_.root()),
      record_(paths_.file(run::files::record)) {
    std::filesystem::remove_all(paths_.progress());  // of earlier lives, perhaps on more ranks
    if (const auto job = paths_.file(run::files::job); std::filesystem::exists(job)) old_job_ = read_text_file(job);
}

// What is wrong here is told before what is wrong elsewhere: a server that does not answer may be a matter of minutes.
// Stages that were done before and whose inputs will not change need nothing any more.
void RunBook::check_stages() const {
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

Decision RunBook::decide(const run::Stage& stage) {
    if (!is_chosen(stage)) return {};  // not looked at: its inputs may be missing
    auto print = fingerprint(stage);
    const auto what = action(stage, print);
    return {what, std::move(print)};
}

Action RunBook::action(const run::Stage& stage, const std::string& print) {
    const std::string name(stage.name());
    if (choice_.redo.contains(name) || follows(stage, redone_)) {
        redone_.insert(name);
        return Action::run;
    }
    const auto* done = record_.find(name);
    if (!done) return Action::run;
    if (const auto file = missing_file(stage); !file.empty()) {
        log::warn("{}: {} is missing though stage {} was done; it is done again", paths_.root().string(), file, name);
        return Action::run;
    }
    if (done->fingerprint == print) return Action::skip;
    // Only what it looks at is new: a page of figures is drawn again without asking.
    if (done->fingerprint.substr(0, hex_digits) == print.substr(0, hex_digits)) return Action::run;
    throw UsageError(fmt::format("{}: stage {} was done with other settings or inputs{}", paths_.root().string(), name,
                                 what_changed(name)),
                     fmt::format("--redo {} does it and what follows from it again, or give another run.folder", name));
}

std::string RunBook::fingerprint(const run::Stage& stage) const {
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

std::string RunBook::view_fingerprint(const run::Stage& stage) const {
    if (stage.looks_at().empty()) return {};
    DigestBuilder seen;
    for (const auto& file : stage.looks_at()) {
        const auto* maker = maker_of(file);
        const auto* made_by = maker ? record_.find(std::string(maker->name())) : nullptr;
        seen.add(made_by ? made_by->fingerprint : "absent");
    }
    return "-" + seen.finish().hex();
}

bool RunBook::is_chosen(const run::Stage& stage) const {
    return choice_.only.empty() || choice_.only.contains(std::string(stage.name()));
}

bool RunBook::is_up_to_date(const run::Stage& stage) const {
    const std::string name(stage.name());
    const auto* done = record_.find(name);
    if (!done || choice_.redo.contains(name) || !missing_file(stage).empty()) return false;
    try {
        return done->fingerprint == fingerprint(stage);
    } catch (const Error&) {
        return false;  // its inputs are gone: its check, or its turn, says so
    }
}

bool RunBook::follows(const run::Stage& stage, const std::set<std::string>& others) const {
    auto used = stage.reads();
    const auto more = stage.looks_at();
    used.insert(used.end(), more.begin(), more.end());
    return std::any_of(used.begin(), used.end(), [&](const auto& file) {
        const auto* maker = maker_of(file);
        return maker && others.contains(std::string(maker->name()));
    });
}

const run::Stage* RunBook::maker_of(const std::string& file) const {
    for (const auto& stage : stages_) {
        const auto files = stage->writes();
        if (std::find(files.begin(), files.end(), file) != files.end()) return stage.get();
    }
    return nullptr;
}

std::string RunBook::missing_file(const run::Stage& stage) const {
    for (const auto& file : stage.writes())
        if (!std::filesystem::exists(paths_.file(file))) return file;
    return {};
}

std::string RunBook::what_changed(const std::string& stage) const {
    const auto sections = sections_of_(stage);
    const auto old_values = values_in(old_job_);
    std::vector<std::string> changes;
    for (const auto& [key, value] : values_in(job_text_)) {
        const auto concerns = [&, &changed = key](const std::string& section) { return changed.starts_with(section); };
        if (std::none_of(sections.begin(), sections.end(), concerns)) continue;
        const auto old_value = old_values.find(key);
        const auto before = old_value == old_values.end() ? "unset" : old_value->second;
        if (old_value == old_values.end() || before != value)
            changes.push_back(fmt::format("{} {} -> {}", key, before, value));
    }
    return changes.empty() ? "" : " (" + join(changes, ", ") + ")";
}

void RunBook::note_life(const std::string& job_path, int ranks) {
    describe_provenance(record_.provenance(), job_path, ranks);
    record_.save();
}

void RunBook::note_begun(const run::Stage& stage) {
    if (old_job_ != job_text_) storage::publish_text(paths_.file(run::files::job), job_text_);
    record_.forget(std::string(stage.name()));
    record_.save();
}

void RunBook::note_done(const run::Stage& stage, run::StageRecord result) {
    record_.set(std::string(stage.name()), std::move(result));
    record_.save();
}

}  // namespace tg::pipeline
