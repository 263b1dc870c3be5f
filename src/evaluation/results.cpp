#include "results.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "taskgalaxy/core/text.hpp"

namespace tg::evaluation {
namespace {

std::string quoted(const std::string& text) {
    if (text.find_first_of("\t\n\r\"") == text.npos && text != "") return text;
    return "\"" + replace_all(text, "\"", "\"\"") + "\"";
}

}  // namespace

std::vector<MeanScore> mean_scores(const std::vector<BenchmarkResult>& results) {
    std::set<std::string> models;
    std::map<std::string, std::size_t> done;  // benchmark -> models that have a score in it
    for (const auto& result : results) {
        models.insert(result.model);
        done[result.benchmark] += result.done() && result.in_mean;
    }
    std::vector<MeanScore> means;
    for (const auto& model : models)
        for (const bool with_mme : {true, false}) {
            MeanScore mean{model, with_mme ? "all benchmarks" : "without MME", 0, {}};
            bool has_mme = false;
            for (const auto& result : results) {
                if (result.model != model || done[result.benchmark] < models.size()) continue;
                has_mme = has_mme || result.kind->name == "mme";
                if (!with_mme && result.kind->name == "mme") continue;
                mean.value += result.score();
                mean.benchmarks.push_back(result.benchmark);
            }
            if (mean.benchmarks.empty() || (!with_mme && !has_mme)) continue;
            mean.value /= static_cast<double>(mean.benchmarks.size());
            means.push_back(std::move(mean));
        }
    return means;
}

run::EvaluationTable evaluation_table(const std::vector<BenchmarkResult>& results, const EvaluateSettings& settings) {
    run::EvaluationTable table{.convention = std::string(word_of(settings.convention)),
                               .prompts = std::string(word_of(settings.prompts)),
                               .judge = settings.judge};
    for (const auto& result : results) {
        const auto headline = std::find_if(result.figures.begin(), result.figures.end(), [&](const auto& f) {
            return result.headline.empty() || f.name == result.headline;
        });
        const bool has = result.done() && headline != result.figures.end();
        table.rows.push_back({.model = result.model,
                              .benchmark = result.benchmark,
                              .kind = std::string(result.kind->name),
                              .title = std::string(result.kind->title),
                              .rule = std::string(result.kind->rule),
                              .state = result.state,
                              .note = result.note,
                              .headline = has ? headline->name : result.headline,
                              .value = has ? headline->value : 0,
                              .full = has ? headline->full : 100,
                              .score = has ? result.score() : 0,
                              .questions = result.questions,
                              .unread = result.unread,
                              .seconds = result.seconds,
                              .in_mean = result.in_mean});
        for (const auto& figure : result.figures)
            table.figures.push_back(
                {result.model, result.benchmark, figure.name, figure.value, figure.full, figure.items});
    }
    for (const auto& mean : mean_scores(results))
        table.means.push_back({mean.model, mean.name, mean.value, join(mean.benchmarks, ", ")});
    return table;
}

std::string predictions_tsv(const std::vector<Question>& questions, const std::vector<std::string>& predictions,
                            const std::vector<Mark>& marks, const std::vector<std::string>& problems) {
    std::string out = "index\tanswer\tprediction\tunderstood\tcredit\tproblem\n";
    for (std::size_t i = 0; i < questions.size(); ++i)
        out += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", quoted(questions[i].index), quoted(questions[i].text("answer")),
                           quoted(predictions[i]), quoted(marks[i].said), marks[i].credit, quoted(problems[i]));
    return out;
}

}  // namespace tg::evaluation
