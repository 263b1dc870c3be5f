#include "taskgalaxy/study/scaling.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "figures.hpp"
#include "measurement.hpp"
#include "phases.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::study {
namespace {

namespace fs = std::filesystem;

std::string write_csv(const std::vector<ScalingRow>& rows) {
    std::string out =
        "mode,ranks,repeat,phase,seconds,collectives,collective_bytes,collective_s,file_operations,file_bytes,file_s\n";
    for (const auto& r : rows)
        out += fmt::format("{},{},{},{},{:.6f},{},{},{:.6f},{},{},{:.6f}\n", r.mode, r.cost.ranks, r.repeat,
                           r.cost.phase, r.cost.seconds, r.cost.collectives, r.cost.collective_bytes,
                           r.cost.collective_s, r.cost.file_operations, r.cost.file_bytes, r.cost.file_s);
    return out;
}

void write_hdf5(const fs::path& file, const std::vector<ScalingRow>& rows) {
    std::vector<std::string> mode, phase;
    std::vector<std::int64_t> ranks, repeat, collectives, collective_bytes, file_operations, file_bytes;
    std::vector<double> seconds, collective_s, file_s;
    for (const auto& r : rows) {
        mode.push_back(r.mode), phase.push_back(r.cost.phase), ranks.push_back(r.cost.ranks),
            repeat.push_back(r.repeat), seconds.push_back(r.cost.seconds), collectives.push_back(r.cost.collectives);
        collective_bytes.push_back(r.cost.collective_bytes), collective_s.push_back(r.cost.collective_s),
            file_operations.push_back(r.cost.file_operations), file_bytes.push_back(r.cost.file_bytes),
            file_s.push_back(r.cost.file_s);
    }
    storage::publish_hdf5(file, [&](storage::Hdf5File& out) {
        out.write_texts("mode", mode), out.write_texts("phase", phase);
        out.write("ranks", ranks), out.write("repeat", repeat), out.write("seconds", seconds),
            out.write("collectives", collectives), out.write("collective_bytes", collective_bytes);
        out.write("collective_s", collective_s), out.write("file_operations", file_operations),
            out.write("file_bytes", file_bytes), out.write("file_s", file_s);
    });
}

std::vector<ScalingRow> measured_rows(const ScalingSettings& settings) {
    std::vector<ScalingRow> rows;
    for (const std::string mode : modes)
        for (const int ranks : settings.ranks)
            for (int repeat = 1; repeat <= settings.repeats; ++repeat) {
                const auto file = Point{mode, ranks, repeat}.csv(settings.folder);
                if (!fs::exists(file)) log::warn("study: {} is not measured yet", file.stem().string());
                auto some = phases_of(mode, repeat, run::read_costs(file));
                rows.insert(rows.end(), some.begin(), some.end());
            }
    if (rows.empty())
        throw InputError(fmt::format("{}: nothing is measured there", settings.folder.string()),
                         "run the study without --collect first");
    return rows;
}

}  // namespace

std::string study_scaling(const ScalingSettings& settings) {
    fs::create_directories(settings.folder);
    if (!settings.collect_only)
        for (int repeat = 1; repeat <= settings.repeats;
             ++repeat)  // outermost: a machine that slows down meanwhile slows all points alike
            for (const std::string mode : modes)
                for (const int ranks : settings.ranks) measure(settings, {mode, ranks, repeat});
    const auto rows = measured_rows(settings);
    storage::publish_text(settings.folder / "scaling.csv", write_csv(rows));
    write_hdf5(settings.folder / "scaling.h5", rows);
    draw(settings, rows);
    const auto text = fmt::format(
        "## Strong scaling: {} pictures, {} task types, {} samples a training step\n\n{}\n## Weak scaling: {} pictures "
        "and {} samples a training step for each rank\n\n{}\n## Fits\n\n{}\n"
        "## Model to 4,096 ranks: {} pictures, {} µs and {} GB/s a link, {} file operations and {} GB a second\n\n{}",
        settings.items, settings.types,
        samples_per_rank * *std::max_element(settings.ranks.begin(), settings.ranks.end()), table_of(rows, "strong"),
        settings.items_per_rank, samples_per_rank, table_of(rows, "weak"), fits_of(rows), settings.model_items,
        settings.latency_us, settings.link_gb_per_s, settings.file_operations_per_s, settings.file_gb_per_s,
        model(settings, rows));
    storage::publish_text(settings.folder / "scaling.md", text);
    return text;
}

}  // namespace tg::study
