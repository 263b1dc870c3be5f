#include "run_data.hpp"

#include <algorithm>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::report {
namespace {

// A column of numbers of whatever type, as doubles.
std::vector<double> numbers(const storage::Hdf5File& file, const storage::DatasetInfo& set) {
    const auto as = [&]<class T>(T) {
        const auto values = file.read<T>(set.name);
        return std::vector<double>(values.begin(), values.end());
    };
    switch (set.type) {
        case storage::Hdf5Type::i8: return as(std::int8_t{});
        case storage::Hdf5Type::u8: return as(std::uint8_t{});
        case storage::Hdf5Type::i16: return as(std::int16_t{});
        case storage::Hdf5Type::u16: return as(std::uint16_t{});
        case storage::Hdf5Type::i32: return as(std::int32_t{});
        case storage::Hdf5Type::u32: return as(std::uint32_t{});
        case storage::Hdf5Type::i64: return as(std::int64_t{});
        case storage::Hdf5Type::u64: return as(std::uint64_t{});
        case storage::Hdf5Type::f32: return as(float{});
        case storage::Hdf5Type::f64: return as(double{});
    }
    return {};
}

RunRecordData read_record(const std::filesystem::path& path) {
    RunRecordData record;
    const auto file = storage::Hdf5File::open(path);
    const auto stages = file.read_texts("stage"), fingerprints = file.read_texts("fingerprint"),
               finished = file.read_texts("finished");
    const auto seconds = file.read<double>("seconds");
    for (std::size_t i = 0; i < stages.size(); ++i)
        record.stages.push_back({stages[i], fingerprints.at(i), finished.at(i), seconds.at(i), {}});
    const auto owners = file.read_texts("figures/stage"), names = file.read_texts("figures/name");
    const auto values = file.read<double>("figures/value");
    for (std::size_t i = 0; i < owners.size(); ++i)
        for (auto& stage : record.stages)
            if (stage.stage == owners[i]) stage.figures[names.at(i)] = values.at(i);
    std::stable_sort(record.stages.begin(), record.stages.end(),
                     [](const auto& a, const auto& b) { return a.finished < b.finished; });
    if (file.has("provenance/key")) {
        const auto keys = file.read_texts("provenance/key"), texts = file.read_texts("provenance/text");
        for (std::size_t i = 0; i < keys.size(); ++i) record.provenance[keys[i]] = texts.at(i);
    }
    for (const char* name : {"job", "version", "host", "ranks", "created"})
        if (file.has_attribute(name)) record.provenance.try_emplace(name, file.text_attribute(name));
    return record;
}

EvaluationData read_evaluation(const std::filesystem::path& path) {
    const auto file = storage::Hdf5File::open(path);
    EvaluationData out;
    const auto model = file.read_texts("model"), benchmark = file.read_texts("benchmark"),
               title = file.read_texts("title"), state = file.read_texts("state"), note = file.read_texts("note"),
               headline = file.read_texts("headline"), rule = file.read_texts("rule");
    const auto value = file.read<double>("value"), full = file.read<double>("full"), score = file.read<double>("score");
    const auto questions = file.read<std::uint64_t>("questions"), unread = file.read<std::uint64_t>("unread");
    const auto in_mean = file.read<std::uint8_t>("in_mean");
    for (std::size_t i = 0; i < model.size(); ++i)
        out.rows.push_back({model[i], benchmark[i], title[i], state[i], note[i], headline[i], rule[i], value[i],
                            full[i], score[i], questions[i], unread[i], in_mean[i] != 0});
    const auto mean_model = file.read_texts("means/model"), mean_name = file.read_texts("means/name"),
               mean_of = file.read_texts("means/benchmarks");
    const auto mean_value = file.read<double>("means/value");
    for (std::size_t i = 0; i < mean_model.size(); ++i)
        out.means.push_back({mean_model[i], mean_name[i], mean_of[i], mean_value[i]});
    const auto of_model = file.read_texts("figures/model"), of = file.read_texts("figures/benchmark"),
               name = file.read_texts("figures/name");
    const auto figure_value = file.read<double>("figures/value"), figure_full = file.read<double>("figures/full");
    const auto items = file.read<std::uint64_t>("figures/items");
    for (std::size_t i = 0; i < of_model.size(); ++i)
        out.figures.push_back({of_model[i], of[i], name[i], figure_value[i], figure_full[i], items[i]});
    out.convention = file.text_attribute("convention");
    out.prompts = file.text_attribute("prompts");
    out.judge = file.text_attribute("judge");
    return out;
}

void read_costs(const std::filesystem::path& folder, std::vector<CostRow>& costs) {
    if (!std::filesystem::is_directory(folder)) return;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& path : files) {
        const auto rows = parse_json_if_good(read_text_file(path));
        if (!rows.is_array()) throw StorageError(path.string() + ": no table of costs");
        for (const auto& row : rows)
            costs.push_back({row.value("stage", ""), row.value("endpoint", ""), row.value("asked", std::int64_t{}),
                             row.value("from_journal", std::int64_t{}), row.value("failed", std::int64_t{}),
                             row.value("retries", std::int64_t{}), row.value("tokens_in", std::int64_t{}),
                             row.value("tokens_out", std::int64_t{}), row.value("usd", 0.0),
                             row.value("price_known", true)});
    }
}

}  // namespace

const StageLine* RunRecordData::find(std::string_view stage) const {
    for (const auto& line : stages)
        if (line.stage == stage) return &line;
    return nullptr;
}

std::uint64_t PoolData::usable() const {
    return static_cast<std::uint64_t>(std::count(status.begin(), status.end(), std::uint8_t{0}));
}

std::optional<PoolData> PoolData::read(const run::Paths& paths) {
    if (!std::filesystem::exists(paths.file("pool.h5"))) return {};
    const auto file = storage::Hdf5File::open(paths.file("pool.h5"));
    return PoolData{storage::TextColumn(file, "uri"), storage::TextColumn(file, "reason"),
                    file.read<std::uint8_t>("status"), file.read<std::uint64_t>("bytes")};
}

std::optional<MatchData> MatchData::read(const run::Paths& paths) {
    if (!std::filesystem::exists(paths.file("matches.h5"))) return {};
    const auto file = storage::Hdf5File::open(paths.file("matches.h5"));
    const auto shape = file.shape("type");
    return MatchData{shape.at(0), shape.at(1), file.read<std::int64_t>("type"), file.read<float>("score")};
}

std::optional<taxonomy::Taxonomy> read_taxonomy(const run::Paths& paths) {
    if (!std::filesystem::exists(paths.file("taxonomy.h5"))) return {};
    return taxonomy::Taxonomy::read(paths.file("taxonomy.h5"));
}

const std::vector<double>* TrainingData::find(const std::string& name) const {
    const auto found = columns.find(name);
    return found == columns.end() ? nullptr : &found->second;
}

RunData RunData::read(const run::Paths& paths) {
    RunData run{.paths = paths};
    const auto there = [&](const char* name) { return std::filesystem::exists(paths.file(name)); };
    if (there("run.h5")) run.record = read_record(paths.file("run.h5"));
    run.pool = PoolData::read(paths);
    run.taxonomy = read_taxonomy(paths);
    run.matches = MatchData::read(paths);
    if (there("samples.h5")) {
        const auto file = storage::Hdf5File::open(paths.file("samples.h5"));
        run.curation.emplace(CurationData{run::SampleTable(paths.file("samples.h5")),
                                          file.read<std::uint8_t>("refine/state"),
                                          file.read<std::uint8_t>("refine/kept"), file.shape("refine/kept").at(1)});
    }
    if (there("training_log.h5")) {
        const auto file = storage::Hdf5File::open(paths.file("training_log.h5"));
        TrainingData training;
        for (const auto& set : file.datasets())
            if (set.shape.size() == 1) training.columns[set.name] = numbers(file, set);
        run.training.emplace(std::move(training));
    }
    if (there("evaluation.h5")) run.evaluation.emplace(read_evaluation(paths.file("evaluation.h5")));
    read_costs(paths.file("costs"), run.costs);
    if (there("job.cfg")) run.job_text = read_text_file(paths.file("job.cfg"));
    return run;
}

}  // namespace tg::report
