// The commands of the program, one row each: `taskgalaxy COMMAND ...`. Only `run` uses more than one rank, and MPI.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::app {

struct Command {
    std::string_view name;
    std::string_view usage;    // what follows the name
    std::string_view purpose;  // one line
    int (*act)(const parallel::Communicator& world, const std::vector<std::string>& arguments);
    bool on_ranks = false;
};

std::span<const Command> commands();
// Throws UsageError that lists the known ones.
const Command& find_command(const std::string& name);

}  // namespace tg::app
