#include "taskgalaxy/run/record.hpp"

#include <utility>

#include "taskgalaxy/storage/dataset.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::run {
namespace {

using storage::Column;

struct StageRow {
    std::string stage, fingerprint, finished;
    double seconds = 0;
};
struct StageFigureRow {
    std::string stage, name;
    double value = 0;
};
struct ProvenanceRow {
    std::string key, text;
};

constexpr std::tuple stage_columns{Column{"stage", &StageRow::stage}, Column{"fingerprint", &StageRow::fingerprint},
                                   Column{"finished", &StageRow::finished}, Column{"seconds", &StageRow::seconds}};
constexpr std::tuple stage_figure_columns{Column{"stage", &StageFigureRow::stage},
                                          Column{"name", &StageFigureRow::name},
                                          Column{"value", &StageFigureRow::value}};
constexpr std::tuple provenance_columns{Column{"key", &ProvenanceRow::key}, Column{"text", &ProvenanceRow::text}};
constexpr auto stage_figure_group = "figures/", provenance_group = "provenance/";

}  // namespace

Record::Record(std::filesystem::path file) : file_(std::move(file)) {
    if (!std::filesystem::exists(file_)) return;
    const auto in = storage::Hdf5File::open(file_);
    for (const auto& row : storage::read_table(in, "", stage_columns))
        stages_[row.stage] = {row.fingerprint, row.finished, row.seconds, {}};
    for (const auto& row : storage::read_table(in, stage_figure_group, stage_figure_columns))
        stages_[row.stage].figures.emplace_back(row.name, row.value);
    for (const auto& row : storage::read_table(in, provenance_group, provenance_columns))
        provenance_[row.key] = row.text;
}

const StageRecord* Record::find(const std::string& stage) const {
    const auto found = stages_.find(stage);
    return found == stages_.end() ? nullptr : &found->second;
}

void Record::save() const {
    std::vector<StageRow> stages;
    std::vector<StageFigureRow> figures;
    std::vector<ProvenanceRow> provenance;
    for (const auto& [stage, record] : stages_) {
        stages.push_back({stage, record.fingerprint, record.finished, record.seconds});
        for (const auto& [name, value] : record.figures) figures.push_back({stage, name, value});
    }
    for (const auto& [key, text] : provenance_) provenance.push_back({key, text});
    storage::publish_hdf5(file_, [&](storage::Hdf5File& out) {
        storage::write_table(out, "", stage_columns, stages);
        storage::write_table(out, stage_figure_group, stage_figure_columns, figures);
        storage::write_table(out, provenance_group, provenance_columns, provenance);
        for (const char* name : {"version", "host", "job", "created", "ranks"})
            if (const auto found = provenance_.find(name); found != provenance_.end())
                out.set_attribute(name, found->second);
    });
}

}  // namespace tg::run
