#include "taskgalaxy/core/progress.hpp"

#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {
namespace {

using Clock = std::chrono::steady_clock;

struct Sink {
    std::filesystem::path folder;
    int rank = 0;
};
Sink sink;
std::atomic<bool> live_line{false};

bool terminal() {
    static const bool is = isatty(STDERR_FILENO) == 1;
    return is;
}
Clock::duration interval() { return terminal() ? std::chrono::milliseconds(200) : std::chrono::seconds(10); }

void write_file(const std::string& stage, const nlohmann::json& state) {
    // Written whole and renamed: `status` may read at any moment. A failure here must not end the work it tells of.
    const auto path = sink.folder / fmt::format("{}.{}.json", stage, sink.rank);
    const auto temporary = path.string() + ".tmp";
    std::ofstream(temporary) << state.dump();
    std::error_code ignored;
    std::filesystem::rename(temporary, path, ignored);
}

}  // namespace

void set_progress_folder(const std::filesystem::path& folder, int rank) {
    std::filesystem::create_directories(folder);
    sink = {folder, rank};
}

void clear_progress_line() {
    if (live_line.exchange(false)) std::fputs("\r\033[K", stderr);
}

Progress::Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done)
    : stage_(std::move(stage)),
      unit_(std::move(unit)),
      total_(total),
      at_start_(done),
      done_(done),
      start_(Clock::now()) {
    next_show_ = (Clock::now() + interval()).time_since_epoch().count();
}

Progress::~Progress() { finish(); }

void Progress::add(std::uint64_t count) {
    done_ += count;
    auto due = next_show_.load();
    const auto now = Clock::now();
    if (now.time_since_epoch().count() < due) return;
    if (next_show_.compare_exchange_strong(due, (now + interval()).time_since_epoch().count())) show(false);
}

void Progress::note(std::string text) {
    const std::lock_guard lock(mutex_);
    note_ = std::move(text);
}

void Progress::finish() {
    {
        const std::lock_guard lock(mutex_);
        if (finished_) return;
        finished_ = true;
    }
    show(true);
}

void Progress::show(bool last) {
    const std::lock_guard lock(mutex_);
    const auto done = done_.load();
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const double rate = seconds > 0 ? static_cast<double>(done - at_start_) / seconds : 0;
    const double eta = rate > 0 && total_ > done ? static_cast<double>(total_ - done) / rate : 0;
    if (!sink.folder.empty())
        write_file(stage_, {{"stage", stage_},
                            {"unit", unit_},
                            {"done", done},
                            {"total", total_},
                            {"per_second", rate},
                            {"eta_s", eta},
                            {"note", note_},
                            {"finished", last && done >= total_}});
    if (sink.rank != 0) return;
    auto line = fmt::format("{}: {}/{} {} ({:.0f} %), {:.1f}/s", stage_, done, total_, unit_,
                            total_ ? 100.0 * static_cast<double>(done) / static_cast<double>(total_) : 100.0, rate);
    if (last) line += fmt::format(", took {}", duration_text(seconds));
    else if (eta > 0) line += fmt::format(", {} to go", duration_text(eta));
    if (!note_.empty()) line += ", " + note_;
    if (terminal() && !last) {
        std::fprintf(stderr, "\r\033[K%s", line.c_str());
        std::fflush(stderr);
        live_line = true;
    } else {
        log::info("{}", line);
    }
}

std::map<std::string, UnderWay> read_progress(const std::filesystem::path& folder) {
    std::map<std::string, UnderWay> all;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
        if (entry.path().extension() != ".json") continue;
        const auto state = parse_json_if_good(read_text_file(entry.path()));
        if (!state.is_object()) continue;
        try {
            if (state.value("finished", false)) continue;
            UnderWay mine{state.value("done", std::uint64_t{0}),
                          state.value("total", std::uint64_t{0}),
                          state.value("per_second", 0.0),
                          state.value("unit", ""),
                          state.value("note", ""),
                          entry.last_write_time()};
            auto& sum = all[state.value("stage", "?")];
            sum.done += mine.done;
            sum.total += mine.total;
            sum.per_second += mine.per_second;
            sum.unit = mine.unit;
            if (!mine.note.empty()) sum.note = mine.note;
            sum.seen = std::max(sum.seen, mine.seen);
        } catch (const nlohmann::json::exception& error) {
            log::warn("{}: no progress file ({})", entry.path().string(), error.what());
        }
    }
    return all;
}

}  // namespace tg
