#include "command_line.hpp"

#include <charconv>
#include <fmt/format.h>

#include "commands.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::app {

CommandLine::CommandLine(std::string_view command, const Arguments& arguments, const po::options_description& options,
                         const char* positional, int most)
    : usage_(fmt::format("{} {}", command, find_command(std::string(command)).usage)), positional_(positional) {
    po::positional_options_description places;
    places.add(positional, most);
    auto all_options = options;
    all_options.add_options()(positional, po::value<Arguments>());
    try {
        po::store(po::command_line_parser(arguments).options(all_options).positional(places).run(), values_);
        po::notify(values_);
    } catch (const po::error& error) {
        throw wrong(error.what());
    }
}

Arguments CommandLine::list(const char* option) const {
    Arguments out;
    for (const auto& text : all(option))
        for (const auto& part : split(text, ','))
            if (!trimmed(part).empty()) out.emplace_back(trimmed(part));
    return out;
}

std::vector<int> CommandLine::counts(const char* option, const char* what) const {
    std::vector<int> out;
    for (const auto& word : list(option)) {
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out.emplace_back());
        if (error != std::errc{} || end != word.data() + word.size() || out.back() < 1)
            throw wrong(fmt::format("--{}: '{}' is no {}", option, word, what));
    }
    return out;
}

std::string CommandLine::word() const {
    const auto given = words();
    if (given.empty()) throw wrong(fmt::format("{} is missing", positional_));
    return given.front();
}

}  // namespace tg::app
