#include "taskgalaxy/run/cost_log.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <tuple>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::run {
namespace {

constexpr auto header =
    "ranks,stage,phase,calls,seconds,collectives,collective_bytes,collective_s,file_operations,file_bytes,file_s";

std::string line_of(const CostRow& r) {
    return fmt::format("{},{},{},{},{:.6f},{},{},{:.6f},{},{},{:.6f}", r.ranks, r.stage, r.phase, r.calls, r.seconds,
                       r.collectives, r.collective_bytes, r.collective_s, r.file_operations, r.file_bytes, r.file_s);
}

// One visit for reading and writing alike, so that they cannot drift.
CostRow row_of(const std::vector<std::string>& fields, const std::string& where) {
    CostRow r;
    std::size_t at = 0;
    const auto number = [&](auto& value) {
        const auto& field = fields[at++];
        if (std::from_chars(field.data(), field.data() + field.size(), value).ec != std::errc())
            throw StorageError(fmt::format("{}: '{}' is no number", where, field),
                               "remove the file; it is only measured");
    };
    number(r.ranks);
    r.stage = fields[at++];
    r.phase = fields[at++];
    number(r.calls), number(r.seconds), number(r.collectives), number(r.collective_bytes), number(r.collective_s),
        number(r.file_operations), number(r.file_bytes), number(r.file_s);
    return r;
}

// What a rank sends of one phase.
struct PhaseCost {
    std::string phase;
    Cost cost;

    template <class Self> static auto fields(Self& self) {
        auto& c = self.cost;
        return std::tie(self.phase, c.calls, c.seconds, c.collectives, c.collective_bytes, c.collective_s,
                        c.file_operations, c.file_bytes, c.file_s);
    }
};

void join_rank(CostRow& all, const Cost& one) {
    all.calls = std::max(all.calls, one.calls);
    all.seconds = std::max(all.seconds, one.seconds);
    all.collectives = std::max(all.collectives, one.collectives);
    all.collective_bytes = std::max(all.collective_bytes, one.collective_bytes);
    all.collective_s += one.collective_s / all.ranks;
    all.file_operations += one.file_operations;
    all.file_bytes += one.file_bytes;
    all.file_s += one.file_s / all.ranks;
}

constexpr std::size_t columns = 11;

}  // namespace

void log_costs(const parallel::Communicator& ranks, const std::filesystem::path& csv, const std::string& stage,
               Cost total) {
    auto costs = take_phase_costs();
    total.calls = 1;
    costs["total"] = total;
    std::vector<PhaseCost> mine;
    for (const auto& [phase, cost] : costs) mine.push_back({phase, cost});
    const auto all_ranks = ranks.gather(mine);
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        std::map<std::string, CostRow> rows;
        for (const auto& one_rank : all_ranks)
            for (const auto& [phase, cost] : one_rank) {
                auto& row = rows[phase];
                row.ranks = ranks.size(), row.stage = stage, row.phase = phase;
                join_rank(row, cost);
            }
        const bool is_new = !std::filesystem::exists(csv);
        std::ofstream out(csv, std::ios::app);
        if (is_new) out << header << '\n';
        for (const auto& [phase, row] : rows) out << line_of(row) << '\n';
    });
}

std::vector<CostRow> read_costs(const std::filesystem::path& csv) {
    std::vector<CostRow> rows;
    if (!std::filesystem::exists(csv)) return rows;
    int number = 0;
    for (const auto& line : split(read_text_file(csv), '\n')) {
        if (++number == 1 || trimmed(line).empty()) continue;
        const auto fields = split(line, ',');
        const auto where = fmt::format("{}:{}", csv.string(), number);
        if (fields.size() != columns)
            throw StorageError(fmt::format("{}: {} columns instead of {}", where, fields.size(), columns),
                               "remove the file; it is only measured");
        rows.push_back(row_of(fields, where));
    }
    return rows;
}

}  // namespace tg::run
