// taskgalaxy: one MPI program that turns a pool of pictures and a hundred seed task types into a vision-language instruction
// dataset, fine-tunes and evaluates models on it. The stages are listed in pipeline.cpp, the commands in commands.cpp.
#include "commands.hpp"

#include <algorithm>

#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/parallel/session.hpp"

int main(int argc, char** argv) {
    const tg::Session session(argc, argv);
    tg::install_stop_handlers();
    const std::vector<std::string> words(argv + 1, argv + argc);
    return tg::run_guarded(session.world(), [&] {
        const auto& command = tg::app::find_command(words.empty() ? "help" : words.front());
        const std::vector<std::string> arguments(words.begin() + (words.empty() ? 0 : 1), words.end());
        // `taskgalaxy run --help` asks what `taskgalaxy help run` does.
        const bool asks_help = std::any_of(arguments.begin(), arguments.end(), [](const auto& word) { return word == "--help" || word == "-h"; });
        if (asks_help) return tg::app::find_command("help").act(session.world(), {std::string(command.name)});
        return command.act(session.world(), arguments);
    });
}
