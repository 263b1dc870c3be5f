#include "taskgalaxy/core/crash.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <execinfo.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"

namespace tg {
namespace {

std::atomic<int> crash_file{-1};

// Only what may be called in a handler: no allocation, no formatting.
void say(int file, const char* text) {
    if (::write(file, text, std::strlen(text)) < 0) return;  // nowhere left to complain
}

void on_crash(int number) {
    std::array<char, 3> digits{static_cast<char>('0' + number / 10), static_cast<char>('0' + number % 10), '\0'};
    std::array<void*, 64> frames;
    const int depth = backtrace(frames.data(), static_cast<int>(frames.size()));
    for (const int file : {crash_file.load(), STDERR_FILENO}) {
        if (file < 0) continue;
        say(file, "taskgalaxy: ended by signal ");
        say(file, digits.data());
        say(file, file == STDERR_FILENO ? "; log/rank-*.log in the run directory says where\n"
                                        : "; the calls that led there (c++filt and addr2line read them):\n");
        if (file != STDERR_FILENO) backtrace_symbols_fd(frames.data(), depth, file);
    }
    std::signal(number, SIG_DFL);
    std::raise(number);
}

}  // namespace

void write_crashes_to(const std::filesystem::path& file) {
    const int opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (opened < 0) throw StorageError(fmt::format("{}: cannot be opened ({})", file.string(), std::strerror(errno)));
    if (const int before = crash_file.exchange(opened); before >= 0) ::close(before);
    std::array<void*, 1> once;
    backtrace(once.data(), 1);  // loads its library now: a handler must not
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(number, on_crash);
}

}  // namespace tg
