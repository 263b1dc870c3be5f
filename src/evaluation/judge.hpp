// Free answers scored by another model: MM-Vet, LLaVA-in-the-wild, and MathVista's answers that rules cannot read. Our
// own wording of the public protocols; judges and wordings differ between papers, so the judge's name goes into every
// result.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "questions.hpp"
#include "suite.hpp"
#include "taskgalaxy/asking/asker.hpp"

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

// The answers of one model to one benchmark, read by rules.
struct JudgedExam {
    const JudgeProtocol* protocol;
    std::string label;  // "tuned mmvet": for failure lines, and part of what an answer is kept under
    std::span<const Question> questions;
    std::span<const std::string> predictions;
    std::span<const Mark> marks;  // those not understood are the judge's; the three spans are equally long
};

// What the judge made of one answer.
struct JudgedMark {
    std::uint64_t exam = 0, question = 0;  // places in the list of exams and in that exam
    Mark mark;

    template <class Self> static auto fields(Self& j) { return std::tie(j.exam, j.question, j.mark); }
};

inline constexpr std::string_view judge_step = "judge";  // Request::stage of all of them

// Which of the answers this rank puts to the judge: each `askers`-th of those that are its, from `number` on.
struct JudgeShare {
    int number = 0, askers = 1;
};

// Asks `judge` (an endpoint) about this rank's share, on one thread, no MPI and no HDF5 inside. The shares of all
// askers together are the same marks, however many they are; a reply that cannot be read leaves no mark. Throws what
// the engine throws, and where it ended early.
std::vector<JudgedMark> ask_judge(asking::Asker& asker, const std::string& judge, Convention convention,
                                  std::span<const JudgedExam> exams, JudgeShare share);

}  // namespace tg::evaluation
