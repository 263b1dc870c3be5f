#include "judge.hpp"

#include <array>
#include <fmt/format.h>

#include "python_text.hpp"
#include "read_answer.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

std::string ask_mmvet(const Question& question, std::string_view prediction) {
    const auto truth = replace_all(replace_all(question.text("answer"), "<AND>", " <AND> "), "<OR>", " <OR> ");
    return fmt::format(
        "Grade an answer to a question about a picture against the true answer. The grade is one of 0.0, 0.1, 0.2, ... "
        "1.0:\n"
        "0.0 for entirely wrong, 1.0 for entirely right, something between for partly right.\n"
        "Where the true answer holds <AND>, an answer is entirely right only if it says every part; where it holds "
        "<OR>, one of the parts is enough.\n"
        "Reply with the grade alone.\n\n"
        "Question | True answer | Given answer | Grade\n"
        "--- | --- | --- | ---\n"
        "Which two numbers solve it? | 4 <AND> -7 | It is 9. | 0.0\n"
        "Which two numbers solve it? | 4 <AND> -7 | x = 4 | 0.5\n"
        "Which two numbers solve it? | 4 <AND> -7 | Either 4 or 7 | 0.5\n"
        "Which two numbers solve it? | 4 <AND> -7 | -7 as well as 4 | 1.0\n"
        "What does the sign forbid? | parking <OR> stopping | You may not park here. | 1.0\n"
        "What makes this drawing funny? | The snail overtakes the racing car because the car is stuck in a jam, so the "
        "slowest is the fastest. | A snail and a car are on a road. | 0.2\n"
        "What makes this drawing funny? | The snail overtakes the racing car because the car is stuck in a jam, so the "
        "slowest is the fastest. | The fast car stands still in traffic while a snail crawls past it. | 1.0\n"
        "{} | {} | {} |",
        question.text("question"), truth, prediction);
}

std::optional<Mark> read_mmvet(const Question&, std::string_view reply, Convention) {
    const auto grade = correctness_in(reply);
    if (!grade) return std::nullopt;
    return Mark{.said = std::string(python::strip(reply)), .credit = *grade};
}

std::string ask_llava_wild(const Question& question, std::string_view prediction) {
    return fmt::format(
        "[Context]\n{}\n\n[Question]\n{}\n\n[Assistant 1]\n{}\n\n[End of Assistant 1]\n\n[Assistant 2]\n{}\n\n[End of "
        "Assistant 2]\n\n"
        "[System]\nTwo AI assistants answered the question above about a picture. You cannot see the picture; the "
        "sentences under [Context] describe it.\n"
        "Judge each answer by how helpful, relevant, accurate and detailed it is, and give each assistant a score from "
        "1 to 10; higher is better.\n"
        "The first line of your reply must hold the two scores and nothing else, that of Assistant 1 first, with a "
        "space between them.\n"
        "Then explain the scores. The order in which the answers stand must not sway you.\n",
        question.text("caption"), question.text("question"), question.text("gpt4_ans"), prediction);
}

std::optional<Mark> read_llava_wild(const Question&, std::string_view reply, Convention) {
    const auto scores = score_pair_in(reply);
    if (!scores) return std::nullopt;
    return Mark{.said = fmt::format("{} {}", scores->first, scores->second),
                .credit = scores->second,
                .against = scores->first};
}

std::string ask_mathvista(const Question& question, std::string_view prediction) {
    return fmt::format(
        "Find the final answer in a model's response and write it alone, in the form that the question's hint asks "
        "for. Examples:\n\n"
        "Hint: Give an integer, e.g., 1, 2, 3, at the end.\nQuestion: How many apples are left?\nModel response: After "
        "giving two away there are 9 apples left.\nExtracted answer: 9\n\n"
        "Hint: Give a number with one decimal place, e.g., 1.2, 1.3, 1.4, at the end.\nQuestion: What share of the "
        "boxes is red?\nModel response: Three of ten boxes, so 0.3, are red.\nExtracted answer: 0.3\n\n"
        "Hint: Give a number with two decimal places, e.g., 1.23, 1.34, 1.45, at the end.\nQuestion: What does the "
        "ticket cost? (Unit: $)\nModel response: Together that makes $4.75.\nExtracted answer: 4.75\n\n"
        "Hint: Give a Python list, e.g., [1, 2, 3], at the end.\nQuestion: Between which years did it fall?\nModel "
        "response: It fell from 1998 until 2001.\nExtracted answer: [1998, 2001]\n\n"
        "Hint: Give the letter of the option, e.g., A, B, C, D, at the end.\nQuestion: Which part is shaded?\nChoices: "
        "(A) 1/4 (B) 1/3 (C) 1/2\nModel response: One third of it is shaded.\nExtracted answer: B\n\n"
        "{}\nModel response: {}\nExtracted answer:",
        question.text("question"), prediction);
}

std::optional<Mark> read_mathvista_reply(const Question& question, std::string_view reply, Convention convention) {
    if (python::strip(reply).empty()) return std::nullopt;
    auto mark = compare_mathvista(question, python::strip(reply), convention);
    mark.understood = true;
    return mark;
}

constexpr std::array protocols{
    JudgeProtocol{"mmvet", 16, ask_mmvet, read_mmvet},
    JudgeProtocol{"llava_wild", 1024, ask_llava_wild, read_llava_wild},
    JudgeProtocol{"mathvista", 128, ask_mathvista, read_mathvista_reply},
};

}  // namespace

const JudgeProtocol* judge_protocol(std::string_view kind) {
    for (const auto& protocol : protocols)
        if (protocol.kind == kind) return &protocol;
    return nullptr;
}

std::optional<double> correctness_in(std::string_view reply) {
    const auto grade = python::to_float(reply);
    return grade && *grade >= 0 && *grade <= 1 ? grade : std::nullopt;
}

std::optional<std::pair<double, double>> score_pair_in(std::string_view reply) {
    auto line = std::string(reply.substr(0, reply.find('\n')));
    const auto words = python::split(replace_all(std::move(line), ",", " "));
    if (words.size() != 2) return std::nullopt;
    const auto first = python::to_float(words[0]), second = python::to_float(words[1]);
    if (!first || !second) return std::nullopt;
    return std::pair(*first, *second);
}

std::vector<JudgedMark> ask_judge(asking::Asker& asker, const std::string& judge, Convention convention,
                                  std::span<const JudgedExam> exams, JudgeShare share) {
    std::vector<JudgedMark> judged;
    const auto put = [&](std::uint64_t e, std::uint64_t q) {
        const auto& exam = exams[e];
        const auto& question = exam.questions[q];
        const auto read = [&exam, &question, convention](std::string_view reply) {
            return exam.protocol->read(question, reply, convention);
        };
        asker.submit(
            {.endpoint = judge,
             .stage = std::string(judge_step),
             .item = fmt::format("{} question {}", exam.label, question.index),
             .user = exam.protocol->ask(question, exam.predictions[q]),
             .max_tokens = exam.protocol->max_tokens},
            [read](std::string_view reply) {
                return read(reply) ? std::string() : std::string("the reply does not hold the score");
            },
            [&judged, read, e, q](llm::Reply reply) {
                if (reply.status != llm::Reply::Status::answered) return;
                if (auto mark = read(reply.text)) judged.push_back({e, q, std::move(*mark)});
            });
    };
    std::uint64_t unread = 0;
    for (std::uint64_t e = 0; e < exams.size(); ++e)
        for (std::uint64_t q = 0; q < exams[e].questions.size(); ++q) {
            if (exams[e].marks[q].understood) continue;
            if (unread++ % static_cast<std::uint64_t>(share.askers) == static_cast<std::uint64_t>(share.number))
                put(e, q);
        }
    llm::throw_if_ended_early(asker.run([] { return false; }), "evaluate: scoring by the judge");
    return judged;
}

}  // namespace tg::evaluation
