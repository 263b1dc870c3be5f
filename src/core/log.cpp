#include "taskgalaxy/core/log.hpp"

#include <memory>
#include <mutex>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "taskgalaxy/core/progress.hpp"

namespace tg::log {
namespace {

struct Loggers {
    std::shared_ptr<spdlog::logger> console = [] {
        auto logger =
            std::make_shared<spdlog::logger>("console", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        logger->set_pattern("%H:%M:%S %^%l%$ %v");
        return logger;
    }();
    std::shared_ptr<spdlog::logger> file;
    std::mutex mutex;
};

Loggers& loggers() {
    static Loggers instance;
    return instance;
}

spdlog::level::level_enum spdlog_level(Level level) {
    switch (level) {
        case Level::debug: return spdlog::level::debug;
        case Level::info: return spdlog::level::info;
        case Level::warn: return spdlog::level::warn;
        case Level::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

}  // namespace

void open_log(const std::filesystem::path& folder, int rank, Level level) {
    auto& all = loggers();
    const std::lock_guard lock(all.mutex);
    std::filesystem::create_directories(folder);
    auto sink =
        std::make_shared<spdlog::sinks::basic_file_sink_mt>((folder / fmt::format("rank-{}.log", rank)).string());
    all.file = std::make_shared<spdlog::logger>("file", sink);
    all.file->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    all.file->set_level(spdlog_level(level));
    all.file->flush_on(spdlog::level::info);
    all.console->set_level(std::max(all.console->level(), spdlog_level(level)));
}

void silence_console() { loggers().console->set_level(spdlog::level::off); }

void flush() {
    auto& all = loggers();
    const std::lock_guard lock(all.mutex);
    all.console->flush();
    if (all.file) all.file->flush();
}

void write(Level level, std::string_view line) {
    auto& all = loggers();
    const std::lock_guard lock(all.mutex);
    clear_progress_line();
    all.console->log(spdlog_level(level), line);
    if (all.file) all.file->log(spdlog_level(level), line);
}

}  // namespace tg::log
