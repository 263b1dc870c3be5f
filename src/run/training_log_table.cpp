#include "taskgalaxy/run/training_log_table.hpp"

#include "taskgalaxy/storage/dataset.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::run {
namespace {

using storage::Column;

constexpr std::tuple step_columns{Column{"step", &LogRow::step},
                                  Column{"epoch", &LogRow::epoch},
                                  Column{"loss", &LogRow::loss},
                                  Column{"lr", &LogRow::lr},
                                  Column{"grad_norm", &LogRow::grad_norm},
                                  Column{"tokens", &LogRow::tokens},
                                  Column{"supervised", &LogRow::supervised},
                                  Column{"seconds", &LogRow::seconds},
                                  Column{"tokens_per_s", &LogRow::tokens_per_s},
                                  Column{"data_wait_s", &LogRow::data_wait_s},
                                  Column{"communication_s", &LogRow::communication_s},
                                  Column{"gather_wait_s", &LogRow::gather_wait_s},
                                  Column{"reduce_wait_s", &LogRow::reduce_wait_s},
                                  Column{"compute_s", &LogRow::compute_s},
                                  Column{"sent_mib", &LogRow::sent_mib},
                                  Column{"memory_mib", &LogRow::memory_mib},
                                  Column{"padded_tokens_per_s", &LogRow::padded_tokens_per_s},
                                  Column{"tflops", &LogRow::tflops},
                                  Column{"mfu", &LogRow::mfu},
                                  Column{"skipped", &LogRow::skipped}};
constexpr std::tuple validation_columns{Column{"step", &ValidationRow::step}, Column{"loss", &ValidationRow::loss},
                                        Column{"tokens", &ValidationRow::tokens}};
constexpr std::tuple roll_back_columns{Column{"step", &RollBackRow::step}, Column{"to", &RollBackRow::to},
                                       Column{"data", &RollBackRow::data}};
constexpr auto validation_group = "validation/", roll_back_group = "roll_backs/";

}  // namespace

void TrainingLogTable::write(storage::Hdf5File& file, const std::string& group) const {
    storage::write_table(file, group, step_columns, steps);
    storage::write_table(file, group + validation_group, validation_columns, validation);
    storage::write_table(file, group + roll_back_group, roll_back_columns, roll_backs);
}

TrainingLogTable TrainingLogTable::read(const storage::Hdf5File& file, const std::string& group) {
    return {storage::read_table(file, group, step_columns),
            storage::read_table(file, group + validation_group, validation_columns),
            storage::read_table(file, group + roll_back_group, roll_back_columns)};
}

std::vector<std::pair<std::string, double>> named_columns(const LogRow& row) {
    std::vector<std::pair<std::string, double>> all;
    std::apply([&](const auto&... column) { (all.emplace_back(column.name, row.*column.member), ...); }, step_columns);
    return all;
}

void write_training_log(const std::filesystem::path& training_log_h5, const TrainingLogTable& table,
                        const TrainingFacts& facts) {
    storage::publish_hdf5(training_log_h5, [&](storage::Hdf5File& file) {
        table.write(file, "");
        file.set_attribute("samples", facts.samples);
        file.set_attribute("samples_left_out", facts.samples_left_out);
        file.set_attribute("samples_cut", facts.samples_cut);
        file.set_attribute("steps_skipped", facts.steps_skipped);
        file.set_attribute("peak_tflops", facts.peak_tflops);
        file.set_attribute("ranks", facts.ranks);
    });
}

TrainingLogTable read_training_log(const std::filesystem::path& training_log_h5) {
    return TrainingLogTable::read(storage::Hdf5File::open(training_log_h5), "");
}

}  // namespace tg::run
