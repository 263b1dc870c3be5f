#include "training_log.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace tg::training {

namespace {

constexpr std::array step_columns{
    std::pair{"step", &LogRow::step},
    std::pair{"epoch", &LogRow::epoch},
    std::pair{"loss", &LogRow::loss},
    std::pair{"lr", &LogRow::lr},
    std::pair{"grad_norm", &LogRow::grad_norm},
    std::pair{"tokens", &LogRow::tokens},
    std::pair{"supervised", &LogRow::supervised},
    std::pair{"seconds", &LogRow::seconds},
    std::pair{"tokens_per_s", &LogRow::tokens_per_s},
    std::pair{"data_wait_s", &LogRow::data_wait_s},
    std::pair{"communication_s", &LogRow::communication_s},
    std::pair{"gather_wait_s", &LogRow::gather_wait_s},
    std::pair{"reduce_wait_s", &LogRow::reduce_wait_s},
    std::pair{"compute_s", &LogRow::compute_s},
    std::pair{"sent_mib", &LogRow::sent_mib},
    std::pair{"memory_mib", &LogRow::memory_mib},
    std::pair{"padded_tokens_per_s", &LogRow::padded_tokens_per_s},
    std::pair{"tflops", &LogRow::tflops},
    std::pair{"mfu", &LogRow::mfu},
    std::pair{"skipped", &LogRow::skipped},
};
constexpr std::array validation_columns{std::pair{"step", &ValidationRow::step},
                                        std::pair{"loss", &ValidationRow::loss},
                                        std::pair{"tokens", &ValidationRow::tokens}};
constexpr std::array roll_back_columns{std::pair{"step", &RollBackRow::step}, std::pair{"to", &RollBackRow::to},
                                       std::pair{"data", &RollBackRow::data}};

template <class Columns, class Row> void write_columns(storage::Hdf5File& file, const std::string& group,
                                                       const Columns& columns, const std::vector<Row>& rows,
                                                       bool first_rank) {
    const std::uint64_t shape[] = {rows.size()};
    for (const auto& [name, member] : columns) {
        std::vector<double> values;
        for (const auto& row : rows) values.push_back(row.*member);
        file.make_dataset(group + name, storage::Hdf5Type::f64, shape);
        file.write_rows(group + name, 0, first_rank ? values.size() : 0,
                        std::span<const double>(values.data(), first_rank ? values.size() : 0));
    }
}

template <class Columns, class Row> void read_columns(const storage::Hdf5File& file, const std::string& group,
                                                      const Columns& columns, std::vector<Row>& rows) {
    rows.assign(file.rows(group + columns[0].first), {});
    for (const auto& [name, member] : columns) {
        const auto values = file.read<double>(group + name);
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i].*member = values[i];
    }
}

}  // namespace

std::vector<std::pair<std::string, double>> TrainingLog::scalars(const LogRow& row) {
    std::vector<std::pair<std::string, double>> all;
    for (const auto& [name, member] : step_columns) all.emplace_back(name, row.*member);
    return all;
}

void TrainingLog::write(storage::Hdf5File& file, const std::string& group, bool first_rank) const {
    write_columns(file, group, step_columns, rows_, first_rank);
    write_columns(file, group + "validation/", validation_columns, validation_, first_rank);
    write_columns(file, group + "roll_backs/", roll_back_columns, roll_backs_, first_rank);
}

void TrainingLog::read(const storage::Hdf5File& file, const std::string& group) {
    read_columns(file, group, step_columns, rows_);
    read_columns(file, group + "validation/", validation_columns, validation_);
    read_columns(file, group + "roll_backs/", roll_back_columns, roll_backs_);
}

std::string TrainingLog::csv() const {
    std::string text;
    for (const auto& [name, member] : step_columns) text += (text.empty() ? "" : ",") + std::string(name);
    text += '\n';
    for (const auto& row : rows_) {
        std::string line;
        for (const auto& [name, member] : step_columns)
            line += fmt::format("{}{:.9g}", line.empty() ? "" : ",", row.*member);
        text += line + '\n';
    }
    return text;
}

}  // namespace tg::training
