#include "commands.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "acts.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::app {
namespace {

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
    std::vector<std::string> known;
    for (const auto& command : table) known.emplace_back(command.name);
    throw UsageError(fmt::format("'{}' is neither a command nor a stage", name),
                     "commands: " + join(known, ", ") + "; taskgalaxy help tells more");
}

}  // namespace tg::app
