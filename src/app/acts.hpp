// What each command does; the table in commands.cpp says which is which. Each returns the exit code and throws
// UsageError for arguments that are not as its usage says. Only run() is called on many ranks.
#pragma once

#include <string>
#include <vector>

#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::app {

using Act = int(const parallel::Communicator& world, const std::vector<std::string>& arguments);

Act run, plan;                       // pipeline_commands.cpp
Act status, report, audit, compare;  // look_commands.cpp
Act study, simulate, chat, convert;  // tool_commands.cpp
Act help, print_version;             // help.cpp

}  // namespace tg::app
