// Commands beside a run: the stand-in server, models by hand, studies.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

#include "acts.hpp"
#include "command_line.hpp"
#include "read_job.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/generation/chat.hpp"
#include "taskgalaxy/nn/models/convert.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/study/scaling.hpp"

namespace tg::app {
namespace {

po::options_description options_of(study::ScalingSettings& settings) {
    po::options_description options;
    auto option = options.add_options();
    option("pictures", po::value(&settings.pictures), "folder of pictures, taken in turn until there are enough");
    option("ranks", po::value<Arguments>()->composing(), "rank counts, comma separated; default 1,2");
    option("repeats", po::value(&settings.repeats), "of each point");
    option("items", po::value(&settings.items), "pictures of strong scaling");
    option("items-per-rank", po::value(&settings.items_per_rank), "pictures a rank of weak scaling");
    option("types", po::value(&settings.types), "task types to match with");
    option("launch", po::value(&settings.launch), "what starts the program, {} standing for the rank count");
    option("set", po::value<Arguments>()->composing(), "section.key=value, for every run");
    option("collect", po::bool_switch(&settings.collect_only), "measure nothing, only write figures again");
    option("model-items", po::value(&settings.model_items), "pictures of the model's run");
    option("model-part", po::value(&settings.model_part), "pictures of one of its parts");
    option("latency-us", po::value(&settings.latency_us), "of one message, for the model");
    option("link-gb", po::value(&settings.link_gb_per_s), "GB/s of a rank's link");
    option("file-ops", po::value(&settings.file_operations_per_s), "a second, of the whole file system");
    option("file-gb", po::value(&settings.file_gb_per_s), "GB/s of the whole file system");
    return options;
}

void check(const study::ScalingSettings& settings, const CommandLine& line) {
    if (settings.pictures.empty() && !settings.collect_only) throw line.wrong("--pictures is missing");
    if (settings.repeats < 1 || settings.items < 1 || settings.items_per_rank < 1 || settings.types < 1)
        throw line.wrong("--repeats, --items, --items-per-rank and --types are at least 1");
    if (settings.model_items < 1 || settings.model_part < 1 || settings.latency_us < 0 || settings.link_gb_per_s <= 0 ||
        settings.file_operations_per_s <= 0 || settings.file_gb_per_s <= 0)
        throw line.wrong("the model's machine: rates are above 0");
}

// The answer appears as it comes.
void ask(generation::Chat& talk, const std::string& question) {
    bool begun = false;  // models like to begin with a blank
    talk.say(question, [&](std::string_view text) {
        if (!begun) text.remove_prefix(std::min(text.find_first_not_of(" \n\t\r"), text.size()));
        begun = begun || !text.empty();
        fmt::print("{}", text);
        std::fflush(stdout);
    });
    fmt::print("\n");
}

}  // namespace

int study(const parallel::Communicator&, const Arguments& arguments) {
    study::ScalingSettings settings;
    const CommandLine line("study", arguments, options_of(settings), "WORDS", 3);
    const auto words = line.words();
    if (words.size() != 3 || words[0] != "scaling")
        throw line.wrong("`study scaling` takes a folder for its results and a job file");
    settings.folder = std::filesystem::absolute(words[1]);
    settings.job = words[2];
    settings.sets = line.all("set");
    settings.ranks = line.counts("ranks", "rank count");
    if (settings.ranks.empty()) settings.ranks = {1, 2};
    std::sort(settings.ranks.begin(), settings.ranks.end());
    check(settings, line);
    fmt::print("{}", study::study_scaling(settings));
    return 0;
}

int simulate(const parallel::Communicator& world, const Arguments& arguments) {
    po::options_description options;
    options.add_options()("set", po::value<Arguments>()->composing(), "simulator.key=value");
    const CommandLine line("simulate", arguments, options, "JOB");
    pipeline::Job job;
    if (line.words().empty()) job.read("command line", "", line.all("set"));
    else
        job = read_job(world, line.word(), line.all("set"),
                       {"simulator", "ground_truth", "pool"});  // the endpoints may not be known yet
    simulator::run_simulator(job.simulator, simulator::ground_truth_answers(job.ground_truth));
    return 0;
}

int chat(const parallel::Communicator&, const Arguments& arguments) {
    generation::ChatSettings settings;
    po::options_description options;
    auto option = options.add_options();
    option("image", po::value<std::string>(), "what the conversation is about");
    option("prompt", po::value<std::string>(), "one question; else every line of the input is one");
    option("temperature", po::value(&settings.temperature), "0: greedy");
    option("top-p", po::value(&settings.top_p), "with a temperature");
    option("seed", po::value(&settings.seed), "with a temperature");
    option("max-new-tokens", po::value(&settings.max_new_tokens), "of an answer");
    option("device", po::value<std::string>()->default_value("auto"), "auto, cpu, cuda");
    option("dtype", po::value<std::string>()->default_value("auto"), "auto, fp32, bf16");
    const CommandLine line("chat", arguments, options, "MODEL");
    settings.model = line.word();
    if (line.has("image")) settings.image = line.get<std::string>("image");
    settings.device = meaning_of(layers::device_words(), line.get<std::string>("device"), "device");
    settings.dtype = meaning_of(layers::dtype_words(), line.get<std::string>("dtype"), "dtype");
    generation::Chat talk(settings);
    if (line.has("prompt")) {
        ask(talk, line.get<std::string>("prompt"));
        return 0;
    }
    const bool by_hand = isatty(STDIN_FILENO) == 1;
    for (std::string question;;) {
        if (by_hand) fmt::print("> "), std::fflush(stdout);
        if (!std::getline(std::cin, question)) break;
        if (!trimmed(question).empty()) ask(talk, std::string(trimmed(question)));
    }
    return 0;
}

int convert(const parallel::Communicator&, const Arguments& arguments) {
    std::string layout, output;  // strings: Boost would cut a path at its blanks
    po::options_description options;
    auto option = options.add_options();
    option("layout", po::value(&layout), "of the new folder");
    option("output", po::value(&output), "the new folder");
    const CommandLine line("convert", arguments, options, "MODEL");
    const auto model = line.word();
    if (layout.empty() || output.empty()) throw line.wrong("--layout and --output are needed");
    const auto done = models::convert_model(model, layout, output);
    fmt::print("{}: {} tensors, {:.1f} MB\n", output, done.tensors, static_cast<double>(done.bytes) / 1e6);
    return 0;
}

}  // namespace tg::app
