// A crash leaves where it happened in the rank's log: SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write a backtrace and
// then end the process as they would have.
#pragma once

#include <filesystem>

namespace tg {

// From now on, also to `file` (appended). Throws StorageError where it cannot be opened. Process-wide, as signals are.
void write_crashes_to(const std::filesystem::path& file);

}  // namespace tg
