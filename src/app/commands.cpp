#include "commands.hpp"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

#include "status.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/generation/chat.hpp"
#include "taskgalaxy/nn/models/convert.hpp"
#include "taskgalaxy/pipeline/job.hpp"
#include "taskgalaxy/pipeline/job_file.hpp"
#include "taskgalaxy/pipeline/provenance.hpp"
#include "taskgalaxy/pipeline/runner.hpp"
#include "taskgalaxy/pipeline/stages.hpp"
#include "taskgalaxy/report/audit.hpp"
#include "taskgalaxy/report/overlap.hpp"
#include "taskgalaxy/report/report_stage.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/study/scaling.hpp"

namespace tg::app {
namespace {

namespace po = boost::program_options;
using Arguments = std::vector<std::string>;

std::string usage_of(const std::string& command) {
    const auto& known = find_command(command);
    return fmt::format("{} {}", known.name, known.usage);
}

// Parses `arguments` by Boost.Program_options; its errors become one usage line.
po::variables_map parse(const Arguments& arguments, const po::options_description& options, const char* positional,
                        int positional_count, const std::string& usage) {
    po::positional_options_description places;
    if (positional) places.add(positional, positional_count);
    auto all = options;
    if (positional) all.add_options()(positional, po::value<Arguments>());
    po::variables_map values;
    try {
        po::store(po::command_line_parser(arguments).options(all).positional(places).run(), values);
        po::notify(values);
    } catch (const po::error& error) {
        throw UsageError(error.what(), "usage: taskgalaxy " + usage);
    }
    return values;
}

std::string one_path(const po::variables_map& values, const char* name, const std::string& usage) {
    if (!values.count(name)) throw UsageError(fmt::format("{} is missing", name), "usage: taskgalaxy " + usage);
    return values[name].as<Arguments>().front();
}

Arguments list_of(const po::variables_map& values, const char* name) {
    Arguments out;
    if (!values.count(name)) return out;
    for (const auto& text : values[name].as<Arguments>())
        for (const auto& part : split(text, ','))
            if (!trimmed(part).empty()) out.emplace_back(trimmed(part));
    return out;
}

// Numbers from 1, as `5,10,20`; `what` one of them is.
std::vector<int> counts_of(const po::variables_map& values, const char* name, const char* what,
                           const std::string& usage) {
    std::vector<int> out;
    for (const auto& word : list_of(values, name)) {
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out.emplace_back());
        if (error != std::errc{} || end != word.data() + word.size() || out.back() < 1)
            throw UsageError(fmt::format("--{}: '{}' is no {}", name, word, what), "usage: taskgalaxy " + usage);
    }
    return out;
}

// Read on rank 0 and broadcast: a thousand ranks do not open one small file, and all see the same text.
pipeline::Job read_job(const parallel::Communicator& world, const std::string& path, const Arguments& sets,
                       const Arguments& only = {}) {
    std::string text;
    parallel::together(world, [&] {
        if (world.is_root()) {
            try {
                text = read_text_file(path);
            } catch (const InputError& error) {
                throw UsageError(error.what(), "give the path of a job file, for example jobs/demo.cfg");
            }
        }
    });
    text = world.broadcast<std::string>(std::move(text));
    pipeline::Job job;
    parallel::together(world, [&] { job.read(path, text, sets, only); });
    return job;
}

int run(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options("Options");
    options.add_options()("stages", po::value<Arguments>()->composing(), "only these stages, comma separated")(
        "set", po::value<Arguments>()->composing(), "section.key=value, over the job file")(
        "redo", po::value<Arguments>()->composing(), "do these stages, and what follows from them, again")(
        "time-limit", po::value<double>(), "seconds after which to checkpoint and leave with code 75")(
        "limit-items", po::value<std::int64_t>(), "a pilot: only the first N pictures go to the models");
    const auto values = parse(arguments, options, "JOB", 1, usage_of("run"));
    auto sets = values.count("set") ? values["set"].as<Arguments>() : Arguments{};
    if (values.count("time-limit"))
        sets.push_back(fmt::format("run.time_limit_s={}", values["time-limit"].as<double>()));
    if (values.count("limit-items"))
        sets.push_back(fmt::format("refine.limit_items={}", values["limit-items"].as<std::int64_t>()));
    auto job = read_job(world, one_path(values, "JOB", usage_of("run")), sets);
    return pipeline::run_job(world, job, {list_of(values, "stages"), list_of(values, "redo")});
}

int plan(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("set", po::value<Arguments>()->composing(), "section.key=value");
    const auto values = parse(arguments, options, "JOB", 1, usage_of("plan"));
    auto job = read_job(world, one_path(values, "JOB", usage_of("plan")),
                        values.count("set") ? values["set"].as<Arguments>() : Arguments{});
    if (!world.is_root()) return 0;
    const run::Paths paths(job.run.folder);
    for (const auto& stage : pipeline::make_pipeline(job)) {
        fmt::print("{}: {}\n", stage->name(), stage->purpose());
        for (const auto& line : stage->plan(paths)) {
            const auto amount = line.amount == static_cast<double>(static_cast<std::int64_t>(line.amount))
                                    ? fmt::format("{}", static_cast<std::int64_t>(line.amount))
                                    : fmt::format("{:.2f}", line.amount);
            fmt::print("  {:<32} {:>14} {}{}\n", line.what, amount, line.unit,
                       line.note.empty() ? "" : "  (" + line.note + ")");
        }
    }
    return 0;
}

int status(const parallel::Communicator&, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("json", "for programs");
    const auto values = parse(arguments, options, "RUN", 1, usage_of("status"));
    const auto run_folder = one_path(values, "RUN", usage_of("status"));
    fmt::print("{}", values.count("json") ? status_json(run_folder) : status_text(run_folder));
    return 0;
}

int report(const parallel::Communicator& world, const Arguments& arguments) {
    const auto values = parse(arguments, {}, "RUN", 1, usage_of("report"));
    const run::Paths paths(one_path(values, "RUN", usage_of("report")));
    if (!std::filesystem::exists(paths.file("run.h5")))
        throw InputError(fmt::format("{}: not a run directory (it has no run.h5)", paths.root().string()));
    auto job = read_job(world, paths.file("job.cfg"), {});
    run::StageContext context{world, paths, ""};
    report::make_report_stage(job.report, job.pool, job.ground_truth)->run(context);
    fmt::print("{}\n", (paths.report() / "index.html").string());
    return 0;
}

int audit(const parallel::Communicator& world, const Arguments& arguments) {
    report::AuditSettings settings;
    po::options_description options;
    options.add_options()("samples", po::value(&settings.samples), "on the sheet")(
        "rejected-share", po::value(&settings.rejected_share), "of the sheet")(
        "seed", po::value(&settings.seed), "of the draw")("ratings", po::value<Arguments>()->composing(),
                                                          "filled sheets, one a person");
    const auto values = parse(arguments, options, "RUN", 1, usage_of("audit"));
    if (settings.samples < 1 || settings.rejected_share < 0 || settings.rejected_share > 1)
        throw UsageError("--samples is at least 1, --rejected-share between 0 and 1",
                         "usage: taskgalaxy " + usage_of("audit"));
    const run::Paths paths(one_path(values, "RUN", usage_of("audit")));
    if (values.count("ratings")) {
        const auto files = list_of(values, "ratings");
        fmt::print("{}", report::audit_text(report::read_audit(paths, {files.begin(), files.end()})));
    } else {
        const auto job = read_job(world, paths.file("job.cfg"), {});
        fmt::print("{}\n", report::write_audit_sheet(paths, job.pool, settings).string());
    }
    return 0;
}

int compare(const parallel::Communicator&, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("k", po::value<Arguments>()->composing(), "depths, as 5,10,20");
    auto values = parse(arguments, options, "RUN", 2, usage_of("compare"));
    const auto given = counts_of(values, "k", "depth (a number from 1)", usage_of("compare"));
    std::vector<std::uint64_t> depths(given.begin(), given.end());
    if (depths.empty()) depths = {1, 5, 10, 20};
    const run::Paths run(one_path(values, "RUN", usage_of("compare")));
    fmt::print("{}", report::overlap_text(
                         report::match_overlap(run, run::Paths(values["RUN"].as<Arguments>().back()), depths)));
    return 0;
}

int simulate(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("set", po::value<Arguments>()->composing(), "simulator.key=value");
    const auto values = parse(arguments, options, "JOB", 1, usage_of("simulate"));
    const auto sets = values.count("set") ? values["set"].as<Arguments>() : Arguments{};
    pipeline::Job job;
    if (values.count("JOB"))
        job = read_job(world, one_path(values, "JOB", usage_of("simulate")), sets,
                       {"simulator", "ground_truth", "pool"});  // the endpoints may not be known yet
    else job.read("command line", "", sets);
    simulator::run_simulator(job.simulator, simulator::ground_truth_answers(job.ground_truth));
    return 0;
}

int study(const parallel::Communicator&, const Arguments& arguments) {
    study::ScalingSettings settings;
    po::options_description options("Options");
    options.add_options()("pictures", po::value(&settings.pictures),
                          "folder of pictures, taken in turn until there are enough")(
        "ranks", po::value<Arguments>()->composing(), "rank counts, comma separated; default 1,2")(
        "repeats", po::value(&settings.repeats), "of each point")("items", po::value(&settings.items),
                                                                  "pictures of strong scaling")(
        "items-per-rank", po::value(&settings.items_per_rank), "pictures a rank of weak scaling")(
        "types", po::value(&settings.types), "task types to match with")(
        "launch", po::value(&settings.launch), "what starts the program, {} standing for the rank count")(
        "set", po::value<Arguments>()->composing(), "section.key=value, for every run")(
        "collect", po::bool_switch(&settings.collect_only), "measure nothing, only write figures again")(
        "model-items", po::value(&settings.model_items), "pictures of the model's run")(
        "model-part", po::value(&settings.model_part), "pictures of one of its parts")(
        "latency-us", po::value(&settings.latency_us), "of one message, for the model")(
        "link-gb", po::value(&settings.link_gb_per_s), "GB/s of a rank's link")(
        "file-ops", po::value(&settings.file_operations_per_s), "a second, of the whole file system")(
        "file-gb", po::value(&settings.file_gb_per_s), "GB/s of the whole file system");
    const auto usage = "usage: taskgalaxy " + usage_of("study");
    const auto values = parse(arguments, options, "WORDS", 3, usage_of("study"));
    const auto words = values.count("WORDS") ? values["WORDS"].as<Arguments>() : Arguments{};
    if (words.size() != 3 || words[0] != "scaling")
        throw UsageError("`study scaling` takes a folder for its results and a job file", usage);
    settings.folder = std::filesystem::absolute(words[1]);
    settings.job = words[2];
    if (values.count("set")) settings.sets = values["set"].as<Arguments>();
    settings.ranks = counts_of(values, "ranks", "rank count", usage_of("study"));
    if (settings.ranks.empty()) settings.ranks = {1, 2};
    std::sort(settings.ranks.begin(), settings.ranks.end());
    if (settings.pictures.empty() && !settings.collect_only) throw UsageError("--pictures is missing", usage);
    if (settings.repeats < 1 || settings.items < 1 || settings.items_per_rank < 1 || settings.types < 1)
        throw UsageError("--repeats, --items, --items-per-rank and --types are at least 1", usage);
    if (settings.model_items < 1 || settings.model_part < 1 || settings.latency_us < 0 || settings.link_gb_per_s <= 0 ||
        settings.file_operations_per_s <= 0 || settings.file_gb_per_s <= 0)
        throw UsageError("the model's machine: rates are above 0", usage);
    fmt::print("{}", study::study_scaling(settings));
    return 0;
}

int chat(const parallel::Communicator&, const Arguments& arguments) {
    generation::ChatSettings settings;
    po::options_description options;
    options.add_options()("image", po::value<std::string>(), "what the conversation is about")(
        "prompt", po::value<std::string>(), "one question; else every line of the input is one")(
        "temperature", po::value(&settings.temperature), "0: greedy")("top-p", po::value(&settings.top_p),
                                                                      "with a temperature")(
        "seed", po::value(&settings.seed), "with a temperature")("max-new-tokens", po::value(&settings.max_new_tokens),
                                                                 "of an answer")(
        "device", po::value(&settings.device), "auto, cpu, cuda")("dtype", po::value(&settings.dtype),
                                                                  "auto, fp32, bf16");
    const auto values = parse(arguments, options, "MODEL", 1, usage_of("chat"));
    settings.model = one_path(values, "MODEL", usage_of("chat"));
    if (values.count("image")) settings.image = values["image"].as<std::string>();
    generation::Chat talk(settings);
    const auto ask = [&](const std::string& question) {
        bool begun = false;  // models like to begin with a blank
        talk.say(question, [&](std::string_view text) {
            if (!begun) text.remove_prefix(std::min(text.find_first_not_of(" \n\t\r"), text.size()));
            begun = begun || !text.empty();
            fmt::print("{}", text);
            std::fflush(stdout);
        });
        fmt::print("\n");
    };
    if (values.count("prompt")) return ask(values["prompt"].as<std::string>()), 0;
    const bool by_hand = isatty(STDIN_FILENO) == 1;
    for (std::string line;;) {
        if (by_hand) fmt::print("> "), std::fflush(stdout);
        if (!std::getline(std::cin, line)) break;
        if (!trimmed(line).empty()) ask(std::string(trimmed(line)));
    }
    return 0;
}

int convert(const parallel::Communicator&, const Arguments& arguments) {
    std::string layout, output;  // strings: Boost would cut a path at its blanks
    po::options_description options;
    options.add_options()("layout", po::value(&layout), "of the new folder")("output", po::value(&output),
                                                                             "the new folder");
    const auto values = parse(arguments, options, "MODEL", 1, usage_of("convert"));
    const auto model = one_path(values, "MODEL", usage_of("convert"));
    if (layout.empty() || output.empty())
        throw UsageError("--layout and --output are needed", "usage: taskgalaxy " + usage_of("convert"));
    const auto done = models::convert_model(model, layout, output);
    fmt::print("{}: {} tensors, {:.1f} MB\n", output, done.tensors, static_cast<double>(done.bytes) / 1e6);
    return 0;
}

int help(const parallel::Communicator& world, const Arguments& arguments) {
    if (!world.is_root()) return 0;
    if (!arguments.empty()) {
        pipeline::Job job;
        const auto& topic = arguments.front();
        const bool is_command =
            std::any_of(commands().begin(), commands().end(), [&](const Command& c) { return c.name == topic; });
        // `report` is both: the stage's settings say more.
        if (is_command && topic != "report") {
            const auto& command = find_command(topic);
            fmt::print("taskgalaxy {} {}\n  {}\n", command.name, command.usage, command.purpose);
            if (topic == "simulate") fmt::print("\n{}\n{}", job.help_of("simulator"), job.help_of("ground_truth"));
            if (topic == "run") fmt::print("\n{}", job.help_of("run"));
            return 0;
        }
        const auto wanted = pipeline::stages_called(topic);
        std::vector<std::string> sections;
        for (const auto& stage : pipeline::make_pipeline(job)) {
            const std::string name(stage->name());
            if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
            fmt::print("{}: {}\n  reads  {}\n  writes {}\n\n", name, stage->purpose(), join(stage->reads(), ", "),
                       join(stage->writes(), ", "));
            for (const auto& section : pipeline::sections_of(name))
                if (std::find(sections.begin(), sections.end(), section) == sections.end()) sections.push_back(section);
        }
        for (const auto& section : sections) fmt::print("{}\n", job.help_of(section));
        return 0;
    }
    fmt::print("taskgalaxy {}: vision-language instruction data and fine-tuning in one MPI program\n\nCommands:\n",
               pipeline::version());
    for (const auto& command : commands())
        fmt::print("  {:<9} {}\n            {}\n", command.name, command.usage, command.purpose);
    pipeline::Job job;
    fmt::print("\nStages of a run, in order:\n");
    for (const auto& stage : pipeline::make_pipeline(job)) fmt::print("  {:<12} {}\n", stage->name(), stage->purpose());
    fmt::print(
        "\nExit codes: 0 done, 1 internal error, 2 usage, 3 input data, 4 endpoint, 5 storage, 75 stopped: the same "
        "command goes on\n"
        "Start: mpirun -n 2 taskgalaxy run jobs/demo.cfg; each stage's settings: taskgalaxy help STAGE\n");
    return 0;
}

int print_version(const parallel::Communicator& world, const Arguments&) {
    if (world.is_root()) fmt::print("taskgalaxy {}\n{}\n", pipeline::version(), pipeline::library_versions());
    return 0;
}

constexpr std::array table{
    Command{"run",
            "JOB [--stages a,b] [--set section.key=value] [--redo STAGE] [--time-limit SECONDS] [--limit-items N]",
            "runs a job, or goes on where it was stopped; start it with mpirun or srun", run, true},
    Command{"plan", "JOB [--set section.key=value]",
            "what would be done: items, requests, tokens, money, hours; nothing is spent", plan},
    Command{"status", "RUN [--json]", "what a run has done and is doing, also while it runs", status},
    Command{"report", "RUN", "writes the report of a run again from its files", report},
    Command{"audit", "RUN [--samples N] [--rejected-share S] [--seed N] [--ratings FILE,...]",
            "a sheet of samples for people to judge; with their filled sheets, how far they and the judges agree",
            audit},
    Command{"compare", "RUN [OTHER] [--k 1,5,10,20]",
            "how the pictures' task types agree: between depths k of one run, and between two runs with different "
            "embedders",
            compare},
    Command{"study",
            "scaling FOLDER JOB --pictures FOLDER [--ranks 1,2,4] [--repeats N] [--launch 'srun --mpi=pmix -n {}'] "
            "[--collect]",
            "times the stages on several rank counts: efficiency, charts, and a model of larger machines", study},
    Command{"simulate", "[JOB] [--set simulator.key=value]",
            "a stand-in model server, for demos, tests and dress rehearsals", simulate},
    Command{"chat",
            "MODEL [--image FILE] [--prompt TEXT] [--temperature T] [--top-p P] [--seed N] [--max-new-tokens N] "
            "[--device auto|cpu|cuda] [--dtype auto|fp32|bf16]",
            "talks with a model about a picture: questions line by line from the input, answers as they come", chat},
    Command{"convert", "MODEL --layout same|llava-hf|liuhaotian --output DIR",
            "writes a model folder in another layout, a layer at a time", convert},
    Command{"help", "[COMMAND | STAGE]", "this text, or the settings of one stage", help},
    Command{"version", "", "version, commit and libraries", print_version},
};

}  // namespace

std::span<const Command> commands() { return table; }

const Command& find_command(const std::string& name) {
    std::string plain = name;
    if (name == "--help" || name == "-h") plain = "help";
    if (name == "--version") plain = "version";
    const auto found = std::find_if(table.begin(), table.end(), [&](const Command& c) { return c.name == plain; });
    if (found != table.end()) return *found;
    Arguments known;
    for (const auto& command : table) known.emplace_back(command.name);
    throw UsageError(fmt::format("'{}' is neither a command nor a stage", name),
                     "commands: " + join(known, ", ") + "; taskgalaxy help tells more");
}

}  // namespace tg::app
