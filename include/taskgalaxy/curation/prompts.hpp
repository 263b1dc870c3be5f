// The prompts of the API stages, read from a folder of text files (placeholders: inputs/prompts/README.md). Read once,
// at the start; their content decides results, so it is part of each stage's fingerprint and, filled in, of each
// request's key.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/digest.hpp"

namespace tg::curation {

class Prompts {
public:
    // Throws InputError (a file is missing) or UsageError (an unknown or a missing placeholder), naming file and
    // placeholder.
    explicit Prompts(const std::filesystem::path& folder);

    // `parent` empty: level 1. `existing`: names or paths so far.
    std::string expand(std::string_view parent, const std::vector<std::string>& existing, int count) const;
    std::string refine(const std::vector<std::string>& candidates) const;
    std::string generate(const std::vector<std::string>& types) const;
    std::string judge(std::string_view task_type, std::string_view question, std::string_view answer) const;

    void add_expand(DigestBuilder& inputs) const;  // the texts of expansion
    void add_curate(DigestBuilder& inputs) const;  // those of refine, generate, screen

private:
    struct Text {
        std::string file, text;
    };
    std::vector<Text> expand_;  // by level of what is asked for, from 1
    Text refine_, generate_, judge_;
};

}  // namespace tg::curation
