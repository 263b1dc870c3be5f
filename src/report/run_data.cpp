#include "run_data.hpp"

#include <algorithm>

#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/run/record.hpp"

namespace tg::report {
namespace {

// The stages in the order in which they finished.
RunRecordData read_record(const std::filesystem::path& path) {
    const run::Record in(path);
    RunRecordData record{{}, in.provenance()};
    for (const auto& [name, stage] : in.stages()) {
        auto& line = record.stages.emplace_back(StageLine{name, stage.fingerprint, stage.finished, stage.seconds, {}});
        for (const auto& [figure, value] : stage.figures) line.figures[figure] = value;
    }
    std::stable_sort(record.stages.begin(), record.stages.end(),
                     [](const auto& a, const auto& b) { return a.finished < b.finished; });
    return record;
}

template <class Read> auto read_if_there(const std::filesystem::path& file, const Read& read) {
    return std::filesystem::exists(file) ? std::optional(read(file)) : std::nullopt;
}

void read_paid(const std::filesystem::path& folder, std::vector<ExpenseRow>& costs) {
    if (!std::filesystem::is_directory(folder)) return;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& path : files)
        for (const auto& [key, expense] : asking::read_expenses(path))
            costs.push_back({key.first, key.second, expense.asked, expense.from_journal, expense.failed,
                             expense.retries, expense.tokens_in, expense.tokens_out, expense.usd, expense.price_known});
}

}  // namespace

const StageLine* RunRecordData::find(std::string_view stage) const {
    for (const auto& line : stages)
        if (line.stage == stage) return &line;
    return nullptr;
}

std::optional<pool::PoolTable> read_pool(const run::Paths& paths) {
    return read_if_there(paths.file(run::files::pool), pool::PoolTable::read);
}

std::optional<taxonomy::Taxonomy> read_taxonomy(const run::Paths& paths) {
    return read_if_there(paths.file(run::files::taxonomy), taxonomy::Taxonomy::read);
}

std::optional<run::MatchRows> read_matches(const run::Paths& paths) {
    return read_if_there(paths.file(run::files::matches),
                         [](const auto& file) { return run::MatchTable(file).rows(); });
}

RunData RunData::read(const run::Paths& paths) {
    RunData run{.paths = paths};
    if (const auto file = paths.file(run::files::record); std::filesystem::exists(file)) run.record = read_record(file);
    run.pool = read_pool(paths);
    run.taxonomy = read_taxonomy(paths);
    run.matches = read_matches(paths);
    run.curation = read_if_there(paths.file(run::files::samples), [](const auto& file) {
        return CurationData{run::SampleTable(file), run::read_refined(file)};
    });
    run.training = read_if_there(paths.file(run::files::training_log), run::read_training_log);
    run.evaluation = read_if_there(paths.file(run::files::evaluation), run::EvaluationTable::read);
    read_paid(paths.file("costs"), run.costs);
    if (const auto file = paths.file(run::files::job); std::filesystem::exists(file))
        run.job_text = read_text_file(file);
    return run;
}

}  // namespace tg::report
