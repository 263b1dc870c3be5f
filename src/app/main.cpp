// taskgalaxy: one MPI program that turns a pool of pictures and a hundred seed task types into a vision-language
// instruction dataset, fine-tunes and evaluates models on it. The stages are listed in pipeline/stages.cpp, the
// commands in commands.cpp.
#include "commands.hpp"

#include <algorithm>

#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/parallel/session.hpp"

int main(int argc, char** argv) {
    tg::install_stop_handlers();
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto command = words.empty() ? std::string("help") : words.front();
    const std::vector<std::string> arguments(words.begin() + (words.empty() ? 0 : 1), words.end());
    const auto act = [&](const tg::parallel::Communicator& world) {
        return tg::parallel::run_guarded(world, [&] {
            const auto& known = tg::app::find_command(command);
            // `taskgalaxy run --help` asks what `taskgalaxy help run` does.
            const bool asks_help = std::any_of(arguments.begin(), arguments.end(),
                                               [](const auto& word) { return word == "--help" || word == "-h"; });
            return asks_help ? tg::app::find_command("help").act(world, {command}) : known.act(world, arguments);
        });
    };
    const auto all = tg::app::commands();
    const bool on_ranks =
        std::any_of(all.begin(), all.end(), [&](const auto& row) { return row.name == command && row.on_ranks; });
    if (on_ranks) {
        const tg::parallel::Session session(argc, argv);
        return act(session.world());
    }
    // MPI takes a second to start, which is long for a look at a run.
    return act(*tg::parallel::make_solo());
}
