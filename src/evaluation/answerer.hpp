// A loaded model that answers benchmark questions: pictures decoded by threads, prompts worded, answers generated
// greedily. Keeps torch out of the rest of the room.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "prompts.hpp"
#include "questions.hpp"
#include "taskgalaxy/evaluation/settings.hpp"
#include "taskgalaxy/parallel/partition.hpp"

namespace tg::evaluation {

struct Answers {
    std::vector<std::string> texts;  // one a question of the slice
    std::vector<std::string>
        problems;  // one a question: why its picture could not be shown (the answer is then empty), or empty
    std::uint64_t pictures_left_out = 0;  // of questions with more pictures than the model sees
};

class Answerer {
public:
    // Throws InputError: the folder holds no model that nn understands.
    Answerer(const std::filesystem::path& model, const EvaluateSettings& settings);
    ~Answerer();
    Answerer(Answerer&&) noexcept;
    Answerer& operator=(Answerer&&) noexcept;

    Answers answer(const QuestionFile& file, parallel::Slice questions, PromptStyle style, int max_new_tokens);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::evaluation
