// The stage `evaluate`: each model answers each configured benchmark, greedily; questions are cut in parts and shared
// by the ranks. Writes export/predictions/MODEL.BENCHMARK.tsv (index, answer, prediction, what was understood, credit)
// and evaluation.h5:
//   one row a (model, benchmark): texts `model`, `benchmark`, `kind`, `title`, `state` ("done", or why it was not run),
//   `headline`, `rule`, `note`; f64 `value`, `full`, `score` (0..100), `seconds`; u64 `questions`, `unread` (answers
//   that could not be understood); u8 `in_mean`; group `figures`: texts `model`, `benchmark`, `name`; f64 `value`,
//   `full`; u64 `items`; group `means`: texts `model`, `name`; f64 `value`; u64 `benchmarks`; attributes: convention,
//   prompts, judge.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "taskgalaxy/evaluation/settings.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::evaluation {

// `trained_from` is the folder that [train] starts from: the base model unless [evaluate] names another. All but the
// returned stage may be temporaries; settings are copied. Throws UsageError for an unknown kind of benchmark.
std::unique_ptr<run::Stage> make_evaluate_stage(const EvaluateSettings& settings, const BenchmarkList& benchmarks,
                                                const std::filesystem::path& trained_from,
                                                const std::map<std::string, llm::EndpointSettings>& endpoints,
                                                const llm::ApiSettings& api);

}  // namespace tg::evaluation
