// Stopping in time: SIGUSR1, SIGTERM, SIGINT or the end of the time limit raise one flag that stages poll at safe
// points. Process-wide state because signals are; ranks agree on it through Communicator::any (they are signalled at
// different moments).
#pragma once

#include <chrono>
#include <optional>

namespace tg {

// Installs the handlers (only a flag is set in them). A second SIGINT ends the process at once. Call once, at start.
void install_stop_handlers();

// True once a signal came or the time limit is near. Async-signal-safe to set, cheap to read from any thread.
bool stop_requested();

// As if a signal had come: for budgets, alarms and tests.
void request_stop();

// Makes stop_requested() true `margin` before `limit` from now. Stages that cannot be cut ask seconds_left() before
// they begin a step.
void set_time_limit(std::chrono::duration<double> limit, std::chrono::duration<double> margin);

// Seconds until the stop, if a limit is known.
std::optional<double> seconds_left();

}  // namespace tg
