#include "training_log.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace tg {

namespace {

constexpr std::array columns{
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
};

}  // namespace

void TrainingLog::write(Hdf5File& file, const std::string& group, bool first_rank) const {
    const std::uint64_t shape[] = {rows_.size()};
    for (const auto& [name, member] : columns) {
        std::vector<double> values;
        for (const auto& row : rows_) values.push_back(row.*member);
        file.make_dataset(group + name, Hdf5Type::f64, shape);
        file.write_rows(group + name, 0, first_rank ? values.size() : 0, std::span<const double>(values.data(), first_rank ? values.size() : 0));
    }
}

void TrainingLog::read(const Hdf5File& file, const std::string& group) {
    rows_.assign(file.rows(group + columns[0].first), {});
    for (const auto& [name, member] : columns) {
        const auto values = file.read<double>(group + name);
        for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i].*member = values[i];
    }
}

std::string TrainingLog::csv() const {
    std::string text;
    for (const auto& [name, member] : columns) text += (text.empty() ? "" : ",") + std::string(name);
    text += '\n';
    for (const auto& row : rows_) {
        std::string line;
        for (const auto& [name, member] : columns) line += fmt::format("{}{:.9g}", line.empty() ? "" : ",", row.*member);
        text += line + '\n';
    }
    return text;
}

}  // namespace tg
