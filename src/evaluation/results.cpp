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

void write_results(storage::Hdf5File& file, const std::vector<BenchmarkResult>& results,
                   const EvaluateSettings& settings) {
    std::vector<std::string> models, benchmarks, kinds, titles, states, headlines, rules, notes, owners, of, names;
    std::vector<double> values, fulls, scores, seconds, figure_values, figure_fulls;
    std::vector<std::uint64_t> questions, unread, items;
    std::vector<std::uint8_t> in_mean;
    for (const auto& result : results) {
        models.push_back(result.model);
        benchmarks.push_back(result.benchmark);
        kinds.emplace_back(result.kind->name);
        titles.emplace_back(result.kind->title);
        rules.emplace_back(result.kind->rule);
        states.push_back(result.state);
        notes.push_back(result.note);
        questions.push_back(result.questions);
        unread.push_back(result.unread);
        seconds.push_back(result.seconds);
        in_mean.push_back(result.in_mean);
        const auto headline = std::find_if(result.figures.begin(), result.figures.end(), [&](const auto& f) {
            return result.headline.empty() || f.name == result.headline;
        });
        const bool has = result.done() && headline != result.figures.end();
        headlines.push_back(has ? headline->name : result.headline);
        values.push_back(has ? headline->value : 0);
        fulls.push_back(has ? headline->full : 100);
        scores.push_back(has ? result.score() : 0);
        for (const auto& figure : result.figures) {
            owners.push_back(result.model);
            of.push_back(result.benchmark);
            names.push_back(figure.name);
            figure_values.push_back(figure.value);
            figure_fulls.push_back(figure.full);
            items.push_back(figure.items);
        }
    }
    file.write_texts("model", models);
    file.write_texts("benchmark", benchmarks);
    file.write_texts("kind", kinds);
    file.write_texts("title", titles);
    file.write_texts("rule", rules);
    file.write_texts("state", states);
    file.write_texts("note", notes);
    file.write_texts("headline", headlines);
    file.write("value", values);
    file.write("full", fulls);
    file.write("score", scores);
    file.write("questions", questions);
    file.write("unread", unread);
    file.write("seconds", seconds);
    file.write("in_mean", in_mean);
    file.write_texts("figures/model", owners);
    file.write_texts("figures/benchmark", of);
    file.write_texts("figures/name", names);
    file.write("figures/value", figure_values);
    file.write("figures/full", figure_fulls);
    file.write("figures/items", items);

    std::vector<std::string> mean_models, mean_names, mean_of;
    std::vector<double> mean_values;
    for (const auto& mean : mean_scores(results)) {
        mean_models.push_back(mean.model);
        mean_names.push_back(mean.name);
        mean_values.push_back(mean.value);
        mean_of.push_back(join(mean.benchmarks, ", "));
    }
    file.write_texts("means/model", mean_models);
    file.write_texts("means/name", mean_names);
    file.write("means/value", mean_values);
    file.write_texts("means/benchmarks", mean_of);
    file.set_attribute("convention", std::string(word_of(settings.convention)));
    file.set_attribute("prompts", std::string(word_of(settings.prompts)));
    file.set_attribute("judge", settings.judge);
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
