#include "measurement.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "inputs.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::study {

namespace fs = std::filesystem;

namespace {

bool has_checkpoint(const fs::path& run) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints", none))
        if (entry.path().extension() == ".h5") return true;
    return false;
}

}  // namespace

fs::path Point::run(const fs::path& study) const { return study / fmt::format("{}-{}-{}", mode, ranks, repeat); }

fs::path Point::csv(const fs::path& study) const { return run(study).string() + ".csv"; }

std::vector<std::string> command_of(const ScalingSettings& settings, const Point& point) {
    const bool weak = point.mode == "weak";
    const auto pool =
        make_pool(settings.folder, settings.pictures, weak ? settings.items_per_rank * point.ranks : settings.items);
    const int most_ranks = *std::max_element(settings.ranks.begin(), settings.ranks.end());
    const int global_batch = samples_per_rank * (weak ? point.ranks : most_ranks);
    auto words = split(replace_all(settings.launch, "{}", std::to_string(point.ranks)), ' ');
    std::erase(words, "");
    for (const auto& word : {fs::read_symlink("/proc/self/exe").string(), std::string("run"), settings.job.string(),
                             std::string("--stages"), std::string("ingest,expand,embed,match,train")})
        words.push_back(word);
    std::vector<std::string> sets{
        "run.folder=" + point.run(settings.folder).string(),
        "pool.sources=folder:" + pool.string(),
        "expand.ask=false",
        "expand.taxonomy_file=" + make_types(settings.folder, settings.types).string(),
        "train.data=" + make_samples(settings.folder, pool, global_batch * train_steps).string(),
        "train.image_root=" + pool.string(),
        fmt::format("train.global_batch={}", global_batch),
        "train.micro_batch=2",
        fmt::format("train.max_steps={}", train_steps),
        "train.checkpoint_steps=2",
        "embed.batch=8",
        "embed.texts_per_part=64"};
    for (const auto* key : {"pool.items_per_part", "embed.images_per_part", "match.images_per_part"})
        sets.push_back(fmt::format("{}={}", key, items_per_part));
    sets.insert(sets.end(), settings.sets.begin(), settings.sets.end());
    for (const auto& set : sets) words.push_back("--set"), words.push_back(set);
    return words;
}

int run_command(const std::vector<std::string>& words, const fs::path& run, bool stop_it) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const auto output = run.string() + ".txt";
    const auto child = fork();
    if (child < 0) throw Error(ExitCode::internal, fmt::format("no process can be started ({})", std::strerror(errno)));
    if (child == 0) {
        if (const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644); file >= 0)
            dup2(file, 1), dup2(file, 2);
        execvp(argv[0], argv.data());
        std::fprintf(stderr, "%s: %s\n", argv[0], std::strerror(errno));
        _exit(127);
    }
    int status = 0;
    for (bool told = false; waitpid(child, &status, WNOHANG) == 0;
         std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
        if (told || !((stop_it && has_checkpoint(run)) || stop_requested())) continue;
        kill(child, SIGUSR1);
        told = true;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void measure(const ScalingSettings& settings, const Point& point) {
    const auto run = point.run(settings.folder), complete = point.csv(settings.folder);
    if (fs::exists(complete)) return;
    fs::remove_all(run);
    const auto command = command_of(settings, point);
    // The first life ends at a checkpoint, so that the second reads it.
    for (const bool first : {true, false}) {
        const int code = run_command(command, run, first);
        if (stop_requested() || (!first && code == static_cast<int>(ExitCode::requeue))) throw Stopped("study");
        if (code != 0 && !(first && code == static_cast<int>(ExitCode::requeue)))
            throw Error(ExitCode::input, fmt::format("{}: exit code {} on {} ranks; {}.txt says why: {}",
                                                     join(command, " ").substr(0, 120), code, point.ranks, run.string(),
                                                     settings.launch));
        if (code == 0) break;
    }
    storage::publish_text(complete, read_text_file(run / "log/costs.csv"));
    fs::remove_all(run);
    log::info("study: {} scaling, {} ranks, repeat {}: measured", point.mode, point.ranks, point.repeat);
}

}  // namespace tg::study
