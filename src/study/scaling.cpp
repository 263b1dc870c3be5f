#include "taskgalaxy/study/scaling.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/report/log_chart.hpp"
#include "taskgalaxy/storage/hdf5.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::study {
namespace {

namespace fs = std::filesystem;

constexpr std::array phase_names{"ingest",           "embed",          "match", "gather", "training step",
                                 "checkpoint write", "checkpoint read"};
constexpr std::array modes{"strong", "weak"};
constexpr int train_steps = 6, samples_per_rank = 4,
              items_per_part = 16;  // small parts: every rank count has several for each rank

// ---- the input of the runs

std::vector<fs::path> pictures_in(const fs::path& folder) {
    std::vector<fs::path> found;
    if (fs::is_directory(folder))
        for (const auto& entry : fs::recursive_directory_iterator(folder))
            if (const auto suffix = entry.path().extension(); suffix == ".png" || suffix == ".jpg" || suffix == ".jpeg")
                found.push_back(entry.path());
    if (found.empty())
        throw InputError(fmt::format("{}: no PNG or JPEG file below it", folder.string()),
                         "give --pictures another folder");
    std::sort(found.begin(), found.end());
    return found;
}

// `count` pictures, copied so that each has a name of its own.
fs::path make_pool(const ScalingSettings& settings, std::int64_t count) {
    const auto pool = settings.folder / "inputs" / fmt::format("pool-{}", count),
               done = fs::path(pool.string() + ".complete");
    if (fs::exists(done)) return pool;
    const auto pictures = pictures_in(settings.pictures);
    fs::create_directories(pool);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto& from = pictures[static_cast<std::size_t>(i) % pictures.size()];
        fs::copy_file(from, pool / fmt::format("{:08}{}", i, from.extension().string()),
                      fs::copy_options::overwrite_existing);
    }
    storage::publish_text(done, "");
    return pool;
}

fs::path make_types(const ScalingSettings& settings) {
    std::string text;
    for (std::int64_t i = 0; i < settings.types; ++i)
        text += fmt::format("field {}~subject {}~task {} of subject {}\n", i % 16, i % 128, i, i % 128);
    const auto file = settings.folder / "inputs" / fmt::format("types-{}.txt", settings.types);
    storage::publish_text(file, text);
    return file;
}

fs::path make_samples(const ScalingSettings& settings, const fs::path& pool, int count) {
    auto samples = nlohmann::json::array();
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(pool)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    for (int i = 0; i < count; ++i)
        samples.push_back({{"id", std::to_string(i)},
                           {"image", names[static_cast<std::size_t>(i) % names.size()]},
                           {"conversations",
                            {{{"from", "human"}, {"value", "<image>\nWhat is shown?"}},
                             {{"from", "gpt"}, {"value", fmt::format("Picture number {} of this study.", i)}}}}});
    const auto file = settings.folder / "inputs" / fmt::format("samples-{}-{}.json", pool.filename().string(), count);
    storage::publish_text(file, samples.dump());
    return file;
}

// ---- one measured run

struct Point {
    std::string mode;
    int ranks, repeat;
    fs::path run(const fs::path& study) const { return study / fmt::format("{}-{}-{}", mode, ranks, repeat); }
};

std::vector<std::string> command_of(const ScalingSettings& settings, const Point& point) {
    const bool weak = point.mode == "weak";
    const auto pool = make_pool(settings, weak ? settings.items_per_rank * point.ranks : settings.items);
    const int most_ranks = *std::max_element(settings.ranks.begin(), settings.ranks.end()),
              global_batch = samples_per_rank * (weak ? point.ranks : most_ranks);
    auto words = split(replace_all(settings.launch, "{}", std::to_string(point.ranks)), ' ');
    std::erase(words, "");
    for (const auto& word : {fs::read_symlink("/proc/self/exe").string(), std::string("run"), settings.job.string(),
                             std::string("--stages"), std::string("ingest,expand,embed,match,train")})
        words.push_back(word);
    std::vector<std::string> sets{"run.folder=" + point.run(settings.folder).string(),
                                  "pool.sources=folder:" + pool.string(),
                                  "expand.ask=false",
                                  "expand.taxonomy_file=" + make_types(settings).string(),
                                  "train.data=" + make_samples(settings, pool, global_batch * train_steps).string(),
                                  "train.image_root=" + pool.string(),
                                  fmt::format("train.global_batch={}", global_batch),
                                  "train.micro_batch=2",
                                  fmt::format("train.max_steps={}", train_steps),
                                  "train.checkpoint_steps=2",
                                  "embed.batch=8",
                                  "embed.texts_per_part=64"};
    for (const auto* key : {"pool.items_per_part", "embed.images_per_part", "match.images_per_part"})
        sets.push_back(fmt::format("{}={}", key, items_per_part));
    sets.insert(sets.end(), settings.sets.begin(), settings.sets.end());
    for (const auto& set : sets) words.push_back("--set"), words.push_back(set);
    return words;
}

bool has_checkpoint(const fs::path& run) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints", none))
        if (entry.path().extension() == ".h5") return true;
    return false;
}

// Starts the command and returns its exit code; as soon as there is a checkpoint it is asked to stop, if `stop_it`.
// Output goes to a file.
int run_command(const std::vector<std::string>& words, const fs::path& run, bool stop_it) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const auto output = run.string() + ".txt";
    const auto child = fork();
    if (child < 0) throw Error(ExitCode::internal, fmt::format("no process can be started ({})", std::strerror(errno)));
    if (child == 0) {
        if (const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644); file >= 0)
            dup2(file, 1), dup2(file, 2);
        execvp(argv[0], argv.data());
        std::fprintf(stderr, "%s: %s\n", argv[0], std::strerror(errno));
        _exit(127);
    }
    int status = 0;
    for (bool told = false; waitpid(child, &status, WNOHANG) == 0;
         std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
        if (told || !((stop_it && has_checkpoint(run)) || stop_requested())) continue;
        kill(child, SIGUSR1);
        told = true;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void measure(const ScalingSettings& settings, const Point& point) {
    const auto run = point.run(settings.folder), complete = fs::path(run.string() + ".csv");
    if (fs::exists(complete)) return;
    fs::remove_all(run);
    const auto command = command_of(settings, point);
    // The first life ends at a checkpoint, so that the second reads it.
    for (const bool first : {true, false}) {
        const int code = run_command(command, run, first);
        if (stop_requested() || (!first && code == static_cast<int>(ExitCode::requeue))) throw Stopped("study");
        if (code != 0 && !(first && code == static_cast<int>(ExitCode::requeue)))
            throw Error(ExitCode::input, fmt::format("{}: exit code {} on {} ranks; {}.txt says why: {}",
                                                     join(command, " ").substr(0, 120), code, point.ranks, run.string(),
                                                     settings.launch));
        if (code == 0) break;
    }
    storage::publish_text(complete, read_text_file(run / "log/costs.csv"));
    fs::remove_all(run);
    log::info("study: {} scaling, {} ranks, repeat {}: measured", point.mode, point.ranks, point.repeat);
}

// ---- figures

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto n = values.size();
    return n == 0 ? 0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Least squares of y = a + b f, with neither below zero.
std::pair<double, double> fit_line(const std::map<int, double>& values, double (*f)(double)) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (const auto& [ranks, y] : values) {
        const double x = f(ranks);
        n += 1, sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    const double spread = n * sxx - sx * sx;
    double b = spread > 0 ? (n * sxy - sx * sy) / spread : 0, a = n > 0 ? (sy - b * sx) / n : 0;
    if (b < 0) a = n > 0 ? sy / n : 0, b = 0;
    if (a < 0) a = 0, b = sxx > 0 ? sxy / sxx : 0;
    return {a, b};
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

template <class Number>
std::map<int, double> values_of(const std::map<int, run::CostRow>& rows, Number run::CostRow::*member) {
    std::map<int, double> out;
    for (const auto& [ranks, row] : rows) out[ranks] = static_cast<double>(row.*member);
    return out;
}

// A phase that is a mean over calls does not grow with the pictures.
bool grows(const std::string& phase) {
    return phase == "ingest" || phase == "embed" || phase == "match" || phase == "gather";
}

report::LogChart chart_of(std::string title, std::string y_label, const std::vector<int>& ranks) {
    return {std::move(title), "MPI ranks", std::move(y_label), {ranks.begin(), ranks.end()}, false, {}};
}

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
                const auto file = fs::path(Point{mode, ranks, repeat}.run(settings.folder).string() + ".csv");
                if (!fs::exists(file)) log::warn("study: {} is not measured yet", file.stem().string());
                auto some = phases_of(mode, repeat, run::read_costs(file));
                rows.insert(rows.end(), some.begin(), some.end());
            }
    if (rows.empty())
        throw InputError(fmt::format("{}: nothing is measured there", settings.folder.string()),
                         "run the study without --collect first");
    return rows;
}

// ---- what is written

std::string table_of(const std::vector<ScalingRow>& rows, const std::string& mode) {
    std::string out =
        "| phase | ranks | seconds (least–most) | efficiency | waiting in collectives | in files | collectives a rank "
        "| bytes a rank | file operations |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for (const std::string phase : phase_names) {
        const auto medians = medians_of(rows, mode, phase);
        if (medians.empty()) continue;
        const auto& [first, base] = *medians.begin();
        for (const auto& [ranks, m] : medians) {
            double least = m.seconds, most = m.seconds;
            for (const auto& row : rows)
                if (row.mode == mode && row.cost.phase == phase && row.cost.ranks == ranks)
                    least = std::min(least, row.cost.seconds), most = std::max(most, row.cost.seconds);
            // A training step of weak scaling has a batch for each rank, a checkpoint has the same size always.
            const bool weak = mode == "weak";
            const double efficiency = base.seconds / m.seconds * (weak ? 1 : static_cast<double>(first) / ranks);
            out += fmt::format("| {} | {} | {:.3f} ({:.3f}–{:.3f}) | {:.0f} % | {:.0f} % | {:.0f} % | {} | {} | {} |\n",
                               phase, ranks, m.seconds, least, most, 100 * efficiency, 100 * m.collective_s / m.seconds,
                               100 * std::min(1.0, m.file_s / m.seconds), m.collectives, m.collective_bytes,
                               m.file_operations);
        }
    }
    return out;
}

std::string fits_of(const std::vector<ScalingRow>& rows) {
    std::string out =
        "| phase | parallel fraction (Amdahl, strong) | serial fraction (Gustafson, weak) |\n| --- | ---: | ---: |\n";
    for (const std::string phase : phase_names) {
        const auto strong = medians_of(rows, "strong", phase), weak = medians_of(rows, "weak", phase);
        if (strong.size() < 2 || weak.size() < 2) continue;
        out += fmt::format("| {} | {:.3f} | {:.3f} |\n", phase,
                           fit_amdahl(values_of(strong, &run::CostRow::seconds)).fraction(),
                           gustafson_serial(values_of(weak, &run::CostRow::seconds)));
    }
    return out;
}

void draw(const ScalingSettings& settings, const std::vector<ScalingRow>& rows) {
    for (const std::string mode : modes) {
        const bool weak = mode == "weak";
        auto times = chart_of(
            weak ? "Weak scaling: the same work for each rank" : "Strong scaling: the same work for all ranks together",
            "seconds", settings.ranks);
        auto efficiency =
            chart_of(weak ? "Weak scaling efficiency, t(1) / t(p)" : "Strong scaling efficiency, t(1) / (p t(p))",
                     "efficiency", settings.ranks);
        efficiency.linear_y = true;
        int colour = 0;
        for (const std::string phase : phase_names) {
            report::LogLine measured{phase, {}, false, colour}, ideal{"", {}, true, colour},
                share{phase, {}, false, colour};
            const auto medians = medians_of(rows, mode, phase);
            for (const auto& [ranks, m] : medians) {
                const double perfect = medians.begin()->second.seconds *
                                       (weak ? 1.0 : static_cast<double>(medians.begin()->first) / ranks);
                measured.points.emplace_back(ranks, m.seconds);
                ideal.points.emplace_back(ranks, perfect);
                share.points.emplace_back(ranks, perfect / m.seconds);
            }
            times.lines.push_back(std::move(measured)), times.lines.push_back(std::move(ideal)),
                efficiency.lines.push_back(std::move(share));
            ++colour;
        }
        storage::publish_text(settings.folder / (mode + ".svg"), report::log_chart_svg(times));
        storage::publish_text(settings.folder / (mode + "-efficiency.svg"), report::log_chart_svg(efficiency));
    }
}

std::string model(const ScalingSettings& settings, const std::vector<ScalingRow>& rows) {
    std::vector<int> sizes;
    for (int p = 1; p <= 4096; p *= 4) sizes.push_back(p);
    auto chart = chart_of(fmt::format("Model: {} pictures, 1 to 4,096 ranks", settings.model_items), "seconds", sizes);
    std::string csv = "phase,ranks,seconds,compute_s,communication_s,files_s\n",
                notes =
                    "| phase | seconds on 1 rank | best at | seconds there | what stops it |\n| --- | ---: | ---: | "
                    "---: | --- |\n";
    int colour = 0;
    for (const std::string phase : phase_names) {
        const auto medians = medians_of(rows, "strong", phase);
        if (medians.empty()) continue;
        const double growth =
            grows(phase) ? static_cast<double>(settings.model_items) / static_cast<double>(settings.items) : 1;
        const double part_growth =
            grows(phase) ? growth * items_per_part / static_cast<double>(settings.model_part) : 1;
        const auto points = model_phase(medians, growth, part_growth, settings);
        report::LogLine line{phase, {}, false, colour};
        for (const auto& p : points) {
            csv += fmt::format("{},{},{:.6f},{:.6f},{:.6f},{:.6f}\n", phase, p.ranks, p.total(), p.compute,
                               p.communication, p.files);
            if (std::find(sizes.begin(), sizes.end(), p.ranks) != sizes.end())
                line.points.emplace_back(p.ranks, p.total());
        }
        chart.lines.push_back(line);
        chart.lines.push_back(
            {"", {{1, points.front().total()}, {4096, points.front().total() / 4096}}, true, colour++});
        // Past the knee nothing is won: the smallest count within a tenth of the best time.
        const auto best = std::min_element(points.begin(), points.end(), [](const auto& a, const auto& b) {
                              return a.total() < b.total();
                          })->total();
        const auto& knee =
            *std::find_if(points.begin(), points.end(), [&](const auto& p) { return p.total() <= 1.1 * best; });
        const char* limit = knee.ranks == 4096                                         ? "nothing up to 4,096"
                            : knee.files >= std::max(knee.compute, knee.communication) ? "files"
                            : knee.communication >= knee.compute                       ? "communication"
                                                                                       : "its serial part";
        notes += fmt::format("| {} | {:.2f} | {} | {:.3f} | {} |\n", phase, points.front().total(), knee.ranks,
                             knee.total(), limit);
    }
    storage::publish_text(settings.folder / "model.csv", csv);
    storage::publish_text(settings.folder / "model.svg", report::log_chart_svg(chart));
    return notes;
}

}  // namespace

std::vector<ScalingRow> phases_of(const std::string& mode, int repeat, const std::vector<run::CostRow>& costs) {
    // Lives of one stage add up.
    std::map<std::pair<std::string, std::string>, run::CostRow> sums;
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
    const auto scaled = [](const run::CostRow& a, double factor, const run::CostRow& b, double more) {
        const auto whole = [&](std::int64_t x, std::int64_t y) {
            return static_cast<std::int64_t>(
                std::llround(factor * static_cast<double>(x) + more * static_cast<double>(y)));
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
    };
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
        put(name, scaled(total->second, 1, gather->second, -1));
        gathered = scaled(gather->second, 1, gathered, 1);
    }
    if (gathered.ranks > 0) put("gather", gathered);
    for (const auto& [name, phase] :
         {std::pair("training step", "step"), std::pair("checkpoint write", "checkpoint_write"),
          std::pair("checkpoint read", "checkpoint_read")})
        if (const auto found = sums.find({"train", phase}); found != sums.end())
            put(name, scaled(found->second, 1.0 / static_cast<double>(found->second.calls), {}, 0));
    return out;
}

Amdahl fit_amdahl(const std::map<int, double>& seconds) {
    const auto [a, b] = fit_line(seconds, [](double p) { return 1 / p; });
    return {a, b};
}

PerRank fit_per_rank(const std::map<int, double>& totals) {
    const auto [a, b] = fit_line(totals, [](double p) { return p; });
    return {a, b};
}

double gustafson_serial(const std::map<int, double>& seconds) {
    double above = 0, below = 0;
    const double one = seconds.begin()->second / seconds.begin()->first;
    for (const auto& [p, t] : seconds) {
        const double speedup = p * one * seconds.begin()->first / t;
        above += (p - 1) * (p - speedup);
        below += (p - 1.0) * (p - 1.0);
    }
    return below > 0 ? std::clamp(above / below, 0.0, 1.0) : 0;
}

std::vector<ModelPoint> model_phase(const std::map<int, run::CostRow>& medians, double growth, double part_growth,
                                    const ScalingSettings& settings) {
    std::map<int, double> own;  // seconds that neither wait for ranks nor for files
    for (const auto& [ranks, m] : medians) own[ranks] = std::max(0.0, m.seconds - m.collective_s - m.file_s);
    const auto compute = fit_amdahl(own), collectives = fit_amdahl(values_of(medians, &run::CostRow::collectives)),
               bytes = fit_amdahl(values_of(medians, &run::CostRow::collective_bytes));
    const auto operations = fit_per_rank(values_of(medians, &run::CostRow::file_operations)),
               file_bytes = fit_per_rank(values_of(medians, &run::CostRow::file_bytes));
    std::vector<ModelPoint> out;
    for (int p = 1; p <= 4096; p *= 2) {
        // What is shared out grows with the pictures (rounds of collectives and files: with the parts); what every rank
        // does once does not.
        const auto grown = [&](const Amdahl& fit, double times) { return fit.serial + times * fit.parallel / p; };
        const double hops = std::log2(static_cast<double>(p));
        out.push_back({p, grown(compute, growth),
                       hops * grown(collectives, part_growth) * settings.latency_us * 1e-6 +
                           (p > 1 ? 2 * grown(bytes, part_growth) / (settings.link_gb_per_s * 1e9) : 0),
                       (part_growth * operations.base + operations.each * p) / settings.file_operations_per_s +
                           (growth * file_bytes.base + file_bytes.each * p) / (settings.file_gb_per_s * 1e9)});
    }
    return out;
}

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
