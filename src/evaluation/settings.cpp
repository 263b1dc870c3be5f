#include "taskgalaxy/evaluation/settings.hpp"

#include <fmt/format.h>
#include <vector>

#include "suite.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

const Words<Examinee> examinees{{"base", Examinee::base}, {"tuned", Examinee::tuned}};
const Words<PromptFamily> families{{"llava", PromptFamily::llava}, {"internvl", PromptFamily::internvl}};
const Words<Convention> conventions{{"vlmevalkit", Convention::vlmevalkit}, {"official", Convention::official}};

std::string_view help_of_kind() {
    static const auto help = [] {
        std::vector<std::string> published, own;
        for (const auto& kind : benchmark_kinds()) (kind.tsv.empty() ? own : published).emplace_back(kind.name);
        return fmt::format("which benchmark it is: {}, or your own: {}; default: the section's name",
                           join(published, ", "), join(own, ", "));
    }();
    return help;
}

}  // namespace

std::string_view word_of(Examinee examinee) { return tg::word_of(examinees, examinee); }
std::string_view word_of(PromptFamily family) { return tg::word_of(families, family); }
std::string_view word_of(Convention convention) { return tg::word_of(conventions, convention); }

void EvaluateSettings::describe(SettingsVisitor& v) {
    v.option("base_model", &base_model,
             "folder of the model before fine-tuning; default: the one that [train] starts from");
    v.option("models", choice(&models, examinees), "which models answer: base, tuned (what the train stage exported)");
    v.option("prompts", choice(&prompts, families),
             "whose wording of the questions: llava (v1.5's scripts) or internvl (VLMEvalKit's for InternVL-Chat)");
    v.option("convention", choice(&convention, conventions),
             "whose reading of the answers where tools differ: vlmevalkit (without a judge), or official (LLaVA's "
             "scripts and the benchmarks' authors)");
    v.option("judge", &judge,
             "name of the [endpoint.NAME] that scores free answers; without one MM-Vet and LLaVA-in-the-wild are "
             "reported as not run and MathVista as a lower bound");
    v.option("max_new_tokens", &max_new_tokens, "most tokens of an answer; 0: what each benchmark needs", at_least(0));
    v.option("pad_images", choice(&pad_images, {{"auto", std::nullopt}, {"yes", true}, {"no", false}}),
             "pad pictures to a square first, as LLaVA-v1.5 does: yes, no, or auto: as the model's configuration says");
    v.tuning("batch", &batch, "questions answered at once", at_least(1));
    v.tuning("questions_per_part", &questions_per_part, "questions whose answers are written to disk together",
             at_least(1));
    v.tuning("threads", &threads, "threads that decode pictures; 0: the cores of this rank", at_least(0));
    v.tuning("device", choice(&device, layers::device_words()), "auto, cpu or cuda");
    v.option("dtype", choice(&dtype, layers::dtype_words()),
             "fp32, bf16, or auto: bf16 where the device computes it in hardware");
}

void BenchmarkSettings::describe(SettingsVisitor& v) {
    v.option("kind", &kind, help_of_kind());
    v.option("file", &file, "the questions: VLMEvalKit's .tsv, or LLaVA's .jsonl");
    v.option("image_root", &image_root, "folder that picture paths in the file begin from; default: beside the file");
    v.option("answers", &answers, "for .jsonl: JSON lines with question_id and answer (or label)");
    v.option("split", &split,
             "only rows of this split; 'as published': the one that the benchmark is scored on; 'all': every row");
    v.option("headline", &headline,
             "the figure that enters the mean, for example 'accuracy' for pope or 'perception' for mme; default: the "
             "benchmark's own");
    v.option("in_mean", &in_mean, "whether the mean over benchmarks counts it");
    v.tuning("verify", &verify, "compare the file with the published MD5 and row count, and say so where they differ");
    v.option("max_new_tokens", &max_new_tokens, "most tokens of an answer; 0: as [evaluate] says", at_least(0));
    v.option("limit", &limit, "a pilot: only the first so many questions; 0: all", at_least(0));
}

}  // namespace tg::evaluation
