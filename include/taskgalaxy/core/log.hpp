// Logging over spdlog (which stays in log.cpp): rank 0 speaks on the console, every rank writes RUN/log/rank-N.log.
// Before open_log() is called only the console exists. Callable from any thread.
#pragma once

#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace tg::log {

enum class Level { debug, info, warn, error };

// Called once on every rank; `folder` is created if missing. `level` is the least that is written.
void open_log(const std::filesystem::path& folder, int rank, Level level = Level::info);
// Ranks other than 0 call this before any output so that the console is not spoken to by all of them.
void silence_console();
// No more bytes are waiting in memory when this returns; called before the process leaves.
void flush();

void write(Level level, std::string_view line);

template <class... Args> void debug(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args> void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args> void warn(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args> void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tg::log
