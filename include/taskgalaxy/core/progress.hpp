// Progress of one piece of work: a live line on a terminal, one plain line every few seconds in a batch log, and a
// small JSON file a stage in RUN/progress/ that `taskgalaxy status` sums over ranks. add() may be called from any
// thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

namespace tg {

// Where progress files go and which rank this is; without it only the console is used (rank 0's).
void set_progress_folder(const std::filesystem::path& folder, int rank);
// Removes the live line from the terminal, so that a log line can be written; internal to the log.
void clear_progress_line();

class Progress {
public:
    // `unit` in the plural ("images"). `total` and `done` count this rank's share.
    Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done = 0);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void add(std::uint64_t count = 1);
    // Free text shown behind the rate, for example "none 12 %, $3.20".
    void note(std::string text);
    // Prints the last line; called by the destructor if not before.
    void finish();

private:
    void show(bool last);

    std::string stage_, unit_, note_;
    std::uint64_t total_;
    std::uint64_t at_start_;
    std::atomic<std::uint64_t> done_;
    std::chrono::steady_clock::time_point start_;
    std::atomic<std::chrono::steady_clock::rep> next_show_{0};
    std::mutex mutex_;
    bool finished_ = false;
};

// What the progress files of a run say of one stage, summed over ranks.
struct UnderWay {
    std::uint64_t done = 0, total = 0;
    double per_second = 0;
    std::string unit, note;
    std::filesystem::file_time_type seen{};  // the newest file's
};
// By stage, those that are not finished. A file that is no progress of ours is passed over; no folder: nothing.
std::map<std::string, UnderWay> read_progress(const std::filesystem::path& folder);

}  // namespace tg
