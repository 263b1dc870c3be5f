// Free answers scored by another model: MM-Vet, LLaVA-in-the-wild, and MathVista's answers that rules cannot read. Our
// own wording of the public protocols; judges and wordings differ between papers, so the judge's name goes into every
// result.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "questions.hpp"
#include "suite.hpp"
#include "taskgalaxy/llm/chat.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::evaluation {

struct JudgeProtocol {
    std::string_view kind;  // of benchmark
    int max_tokens;
    std::string (*ask)(const Question&, std::string_view prediction);
    // What the reply says, or nothing where it cannot be read (it is then asked again).
    std::optional<Mark> (*read)(const Question&, std::string_view reply, Convention);
};
// Null where the kind needs no judge.
const JudgeProtocol* judge_protocol(std::string_view kind);

// Replies as the protocols want them.
std::optional<double> correctness_in(std::string_view reply);  // MM-Vet: one number from 0 to 1
std::optional<std::pair<double, double>> score_pair_in(
    std::string_view reply);  // LLaVA-in-the-wild: two numbers on the first line

struct JudgedBenchmark {
    const JudgeProtocol* protocol;
    std::string label;  // "tuned mmvet": for failure lines, and part of what an answer is kept under
    const std::vector<Question>* questions;
    const std::vector<std::string>* predictions;
    std::vector<Mark>* marks;             // those not understood are asked for; answers are put here
    std::uint64_t asked = 0, unread = 0;  // filled
};

struct JudgeCost {
    double usd = 0;
    bool price_known = true;
    std::uint64_t requests = 0, from_journal = 0;
};

// On one rank and any one thread (no MPI, no HDF5 inside). Throws EndpointError, and Stopped where the engine stopped
// early.
JudgeCost judge_answers(std::vector<JudgedBenchmark>& benchmarks, Convention convention, const std::string& judge,
                        const std::map<std::string, llm::EndpointSettings>& endpoints, const llm::ApiSettings& api,
                        const std::filesystem::path& journal);

}  // namespace tg::evaluation
