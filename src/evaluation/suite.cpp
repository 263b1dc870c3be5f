#include "suite.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "read_answer.hpp"
#include "summaries.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

using enum PromptStyle;
using enum Scoring;

constexpr int letters = 128, sentences = 1024;  // new tokens

constexpr std::array kinds{
    BenchmarkKind{"mme", "MME", "MME", "b36b43c3f09801f5d368627fb92187c3", 2374, "", mme, rules, letters, read_mme,
                  by_mme_task,
                  "per task accuracy + share of pictures with both questions right; total of 14 tasks, 2800 is full"},
    BenchmarkKind{"ai2d", "AI2D", "AI2D_TEST", "0f593e0d1c7df9a3d69bf1f947e71975", 0, "", choice, rules, letters,
                  read_choice, by_category, "accuracy, labels masked by letters"},
    BenchmarkKind{"ai2d_unmasked", "AI2D, labels shown", "AI2D_TEST_NO_MASK", "fd8f463634d4fe9fbd23b876e8eea5be", 0, "",
                  choice, rules, letters, read_choice, by_category, "accuracy; not comparable with AI2D"},
    BenchmarkKind{"chartqa", "ChartQA", "ChartQA_TEST", "c902e0aa9be5582a7aad6dcf52734b42", 0, "", short_answer, rules,
                  letters, read_chartqa, by_category, "relaxed accuracy, numbers within 5 %"},
    BenchmarkKind{"mmmu", "MMMU", "MMMU_DEV_VAL", "585e8ad75e73f75dcad265dfd0417d64", 900, "validation", mmmu, rules,
                  letters, read_mmmu, by_category, "accuracy on the validation split, open answers included"},
    BenchmarkKind{"llava_wild", "LLaVA-in-the-wild", "LLaVABench", "d382a093f749a697820d3dadd61c8428", 0, "", in_detail,
                  judge_only, sentences, read_nothing, by_relative_score,
                  "judge's score relative to the reference answers, x 100"},
    BenchmarkKind{"qbench", "Q-Bench", "Q-Bench1_VAL", "837bdb6cd2da571713543462815187b7", 0, "", choice, rules,
                  letters, read_choice, by_category, "accuracy on low-level vision questions"},
    BenchmarkKind{"mmbench_en", "MMBench (EN)", "MMBench_DEV_EN", "b6caf1133a01c6bb705cf753bb527ed8", 0, "", choice,
                  rules, sentences, read_choice, by_circle, "circular: every rotation of a question must be right"},
    BenchmarkKind{"mmbench_cn", "MMBench (CN)", "MMBench_DEV_CN", "08b8fc3324a5ed74155350f57be69fbd", 0, "", choice,
                  rules, sentences, read_choice, by_circle, "circular: every rotation of a question must be right"},
    BenchmarkKind{"pope", "POPE", "POPE", "c12f5acb142f2ef1f85a26ba2fbe41d5", 0, "", pope, rules, letters, read_pope,
                  by_f1, "F1 of yes, rows repeated for each of their categories"},
    BenchmarkKind{"mmvet", "MM-Vet", "MMVet", "748aa6d4aa9d4de798306a63718455e3", 0, "", bare, judge_only, sentences,
                  read_nothing, by_capability, "judge's correctness 0.0-1.0, mean x 100"},
    BenchmarkKind{"scienceqa", "ScienceQA-IMG", "ScienceQA_TEST", "e42e9e00f9c59a80d8a5db35bc32b71f", 0, "", choice,
                  rules, sentences, read_science_qa, by_category, "accuracy on test questions with a picture"},
    BenchmarkKind{"textvqa", "TextVQA", "TextVQA_VAL", "b233b31f551bbf4056f2f955da3a92cd", 0, "", short_answer, rules,
                  letters, read_textvqa, by_category,
                  "VQA score against ten people's answers, no OCR tokens in the prompt"},
    BenchmarkKind{"mathvista", "MathVista", "MathVista_MINI", "f199b98e178e5a2a20e7048f5dcb0464", 0, "", bare,
                  judge_helps, sentences, read_mathvista, by_skill,
                  "accuracy; without a judge only answers that parse as they stand can be right"},
    BenchmarkKind{"hallusionbench", "HallusionBench", "HallusionBench", "0c23ac0dc9ef46832d7a24504f2a0c7c", 0, "",
                  hallusion, rules, letters, read_yes_no, by_figure_and_question,
                  "mean of accuracy by answer, by figure and by question"},
    BenchmarkKind{"seedbench", "SEED-Bench (image)", "SEEDBench_IMG", "68017231464752261a2526d6ca3a10c0", 0, "", choice,
                  rules, letters, read_seedbench, by_category, "accuracy"},
    BenchmarkKind{"mmstar", "MMStar", "MMStar", "e1ecd2140806c1b1bbf54b43372efb9e", 1500, "", choice, rules, letters,
                  read_choice, by_category, "accuracy, six capabilities"},
    // The user's own files.
    BenchmarkKind{"choice", "Multiple choice", "", "", 0, "", choice, rules, letters, read_choice, by_category,
                  "accuracy; columns index, image or image_path, question, A, B, ..., answer"},
    BenchmarkKind{"yesno", "Yes or no", "", "", 0, "", short_answer, rules, letters, read_yes_no, by_yes_no,
                  "accuracy, F1 of yes beside it; answer is Yes or No"},
    BenchmarkKind{"short", "Short answers", "", "", 0, "", short_answer, rules, letters, read_short, by_category,
                  "equal to one of the answers after VQA normalisation"},
};

}  // namespace

std::span<const BenchmarkKind> benchmark_kinds() { return kinds; }

const BenchmarkKind& benchmark_kind(std::string_view name) {
    const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.name == name; });
    if (found != kinds.end()) return *found;
    std::vector<std::string> names;
    for (const auto& kind : kinds) names.emplace_back(kind.name);
    throw UsageError(fmt::format("benchmark kind '{}' is not known", name), "choose from " + join(names, ", "));
}

double common_scale(std::span<const ScoreFigure> figures, std::string_view headline) {
    auto figure = figures.begin();
    if (!headline.empty())
        figure = std::find_if(figures.begin(), figures.end(), [&](const auto& f) { return f.name == headline; });
    if (figure == figures.end()) {
        std::vector<std::string> names;
        for (const auto& f : figures) names.push_back(f.name);
        throw UsageError(fmt::format("headline '{}' is no figure of this benchmark", headline),
                         "it has " + join(names, ", "));
    }
    return std::clamp(100 * figure->value / figure->full, 0.0, 100.0);
}

}  // namespace tg::evaluation
