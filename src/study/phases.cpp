#include "phases.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace tg::study {
namespace {

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto n = values.size();
    return n == 0 ? 0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// factor * a + more * b; counts are rounded. What is no cost is of `a`.
run::CostRow weighed(const run::CostRow& a, double factor, const run::CostRow& b, double more) {
    const auto whole = [&](std::int64_t x, std::int64_t y) {
        return static_cast<std::int64_t>(std::llround(factor * static_cast<double>(x) + more * static_cast<double>(y)));
    };
    return run::CostRow{a.ranks,
                        a.stage,
                        a.phase,
                        a.calls,
                        factor * a.seconds + more * b.seconds,
                        whole(a.collectives, b.collectives),
                        whole(a.collective_bytes, b.collective_bytes),
                        factor * a.collective_s + more * b.collective_s,
                        whole(a.file_operations, b.file_operations),
                        whole(a.file_bytes, b.file_bytes),
                        factor * a.file_s + more * b.file_s};
}

using StageAndPhase = std::pair<std::string, std::string>;

std::map<StageAndPhase, run::CostRow> sums_of(const std::vector<run::CostRow>& costs) {
    std::map<StageAndPhase, run::CostRow> sums;
    for (const auto& row : costs) {
        auto& sum = sums[{row.stage, row.phase}];
        const auto calls = sum.calls + row.calls;
        sum = {row.ranks,
               row.stage,
               row.phase,
               calls,
               sum.seconds + row.seconds,
               sum.collectives + row.collectives,
               sum.collective_bytes + row.collective_bytes,
               sum.collective_s + row.collective_s,
               sum.file_operations + row.file_operations,
               sum.file_bytes + row.file_bytes,
               sum.file_s + row.file_s};
    }
    return sums;
}

}  // namespace

std::vector<ScalingRow> phases_of(const std::string& mode, int repeat, const std::vector<run::CostRow>& costs) {
    const auto sums = sums_of(costs);
    std::vector<ScalingRow> out;
    const auto put = [&](const char* name, run::CostRow row) {
        row.phase = name;
        out.push_back({mode, repeat, std::move(row)});
    };
    run::CostRow gathered;
    for (const auto& [name, stage] :
         {std::pair("ingest", "ingest"), std::pair("embed", "embed_images"), std::pair("match", "match")}) {
        const auto total = sums.find({stage, "total"}), gather = sums.find({stage, "gather"});
        if (total == sums.end() || gather == sums.end()) continue;
        put(name, weighed(total->second, 1, gather->second, -1));
        gathered = weighed(gather->second, 1, gathered, 1);
    }
    if (gathered.ranks > 0) put("gather", gathered);
    for (const auto& [name, phase] :
         {std::pair("training step", "step"), std::pair("checkpoint write", "checkpoint_write"),
          std::pair("checkpoint read", "checkpoint_read")})
        if (const auto found = sums.find({"train", phase}); found != sums.end())
            put(name, weighed(found->second, 1.0 / static_cast<double>(found->second.calls), {}, 0));
    return out;
}

bool grows(const std::string& phase) {
    return phase == "ingest" || phase == "embed" || phase == "match" || phase == "gather";
}

std::map<int, run::CostRow> medians_of(const std::vector<ScalingRow>& rows, const std::string& mode,
                                       const std::string& phase) {
    std::map<int, std::vector<const run::CostRow*>> by_ranks;
    for (const auto& row : rows)
        if (row.mode == mode && row.cost.phase == phase) by_ranks[row.cost.ranks].push_back(&row.cost);
    std::map<int, run::CostRow> out;
    for (const auto& [ranks, all] : by_ranks) {
        const auto middle = [&, &some = all](auto member) {
            std::vector<double> values;
            for (const auto* row : some) values.push_back(static_cast<double>(row->*member));
            return median(values);
        };
        const auto whole = [&](auto member) { return static_cast<std::int64_t>(std::llround(middle(member))); };
        out[ranks] = {ranks,
                      all.front()->stage,
                      phase,
                      whole(&run::CostRow::calls),
                      middle(&run::CostRow::seconds),
                      whole(&run::CostRow::collectives),
                      whole(&run::CostRow::collective_bytes),
                      middle(&run::CostRow::collective_s),
                      whole(&run::CostRow::file_operations),
                      whole(&run::CostRow::file_bytes),
                      middle(&run::CostRow::file_s)};
    }
    return out;
}

}  // namespace tg::study
