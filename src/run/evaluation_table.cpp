#include "taskgalaxy/run/evaluation_table.hpp"

#include "taskgalaxy/storage/dataset.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::run {
namespace {

using storage::Column;

constexpr std::tuple evaluation_columns{
    Column{"model", &EvaluationRow::model},    Column{"benchmark", &EvaluationRow::benchmark},
    Column{"kind", &EvaluationRow::kind},      Column{"title", &EvaluationRow::title},
    Column{"rule", &EvaluationRow::rule},      Column{"state", &EvaluationRow::state},
    Column{"note", &EvaluationRow::note},      Column{"headline", &EvaluationRow::headline},
    Column{"value", &EvaluationRow::value},    Column{"full", &EvaluationRow::full},
    Column{"score", &EvaluationRow::score},    Column{"questions", &EvaluationRow::questions},
    Column{"unread", &EvaluationRow::unread},  Column{"seconds", &EvaluationRow::seconds},
    Column{"in_mean", &EvaluationRow::in_mean}};
constexpr std::tuple evaluation_figure_columns{
    Column{"model", &EvaluationFigure::model}, Column{"benchmark", &EvaluationFigure::benchmark},
    Column{"name", &EvaluationFigure::name},   Column{"value", &EvaluationFigure::value},
    Column{"full", &EvaluationFigure::full},   Column{"items", &EvaluationFigure::items}};
constexpr std::tuple evaluation_mean_columns{
    Column{"model", &EvaluationMean::model}, Column{"name", &EvaluationMean::name},
    Column{"value", &EvaluationMean::value}, Column{"benchmarks", &EvaluationMean::benchmarks}};
constexpr auto evaluation_figure_group = "figures/", evaluation_mean_group = "means/";

struct EvaluationAttribute {
    const char* name;
    std::string EvaluationTable::*member;
};
constexpr EvaluationAttribute evaluation_attributes[] = {{"convention", &EvaluationTable::convention},
                                                         {"prompts", &EvaluationTable::prompts},
                                                         {"judge", &EvaluationTable::judge}};

}  // namespace

void EvaluationTable::write(const std::filesystem::path& evaluation_h5) const {
    storage::publish_hdf5(evaluation_h5, [&](storage::Hdf5File& file) {
        storage::write_table(file, "", evaluation_columns, rows);
        storage::write_table(file, evaluation_figure_group, evaluation_figure_columns, figures);
        storage::write_table(file, evaluation_mean_group, evaluation_mean_columns, means);
        for (const auto& [name, member] : evaluation_attributes) file.set_attribute(name, this->*member);
    });
}

EvaluationTable EvaluationTable::read(const std::filesystem::path& evaluation_h5) {
    const auto file = storage::Hdf5File::open(evaluation_h5);
    EvaluationTable table;
    table.rows = storage::read_table(file, "", evaluation_columns);
    table.figures = storage::read_table(file, evaluation_figure_group, evaluation_figure_columns);
    table.means = storage::read_table(file, evaluation_mean_group, evaluation_mean_columns);
    for (const auto& [name, member] : evaluation_attributes) table.*member = file.text_attribute(name);
    return table;
}

}  // namespace tg::run
