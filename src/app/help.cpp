// What the program says of itself: its commands, the stages of a run, the settings of one stage, its version.
#include <algorithm>
#include <fmt/format.h>

#include "acts.hpp"
#include "command_line.hpp"
#include "commands.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pipeline/job.hpp"
#include "taskgalaxy/pipeline/provenance.hpp"
#include "taskgalaxy/pipeline/stages.hpp"

namespace tg::app {
namespace {

void help_of_program() {
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
}

void help_of_command(const Command& command) {
    fmt::print("taskgalaxy {} {}\n  {}\n", command.name, command.usage, command.purpose);
    pipeline::Job job;
    if (command.name == "simulate") fmt::print("\n{}\n{}", job.help_of("simulator"), job.help_of("ground_truth"));
    if (command.name == "run") fmt::print("\n{}", job.help_of("run"));
}

void help_of_stages(const std::string& word) {
    const auto wanted = pipeline::stages_called(word);
    pipeline::Job job;
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
}

}  // namespace

int help(const parallel::Communicator& world, const Arguments& arguments) {
    if (!world.is_root()) return 0;
    if (arguments.empty()) {
        help_of_program();
        return 0;
    }
    const auto& topic = arguments.front();
    const auto all = commands();
    const auto command = std::find_if(all.begin(), all.end(), [&](const Command& c) { return c.name == topic; });
    // `report` is both a command and a stage: the stage's settings say more.
    if (command != all.end() && !pipeline::is_stage_word(topic)) help_of_command(*command);
    else help_of_stages(topic);
    return 0;
}

int print_version(const parallel::Communicator& world, const Arguments&) {
    if (world.is_root()) fmt::print("taskgalaxy {}\n{}\n", pipeline::version(), pipeline::library_versions());
    return 0;
}

}  // namespace tg::app
