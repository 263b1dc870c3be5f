#include "taskgalaxy/evaluation/evaluate_stage.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <future>
#include <optional>

#include "answerer.hpp"
#include "judge.hpp"
#include "md5.hpp"
#include "questions.hpp"
#include "results.hpp"
#include "suite.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::evaluation {
namespace {

using Clock = std::chrono::steady_clock;

struct Benchmark {
    std::string name;
    BenchmarkSettings settings;
    const BenchmarkKind* kind;

    std::string split() const {
        return settings.split == "all"            ? ""
               : settings.split == "as published" ? std::string(kind->split)
                                                  : settings.split;
    }
    QuestionFile open() const {
        return QuestionFile::open(settings.file, {settings.image_root, settings.answers, split()});
    }
    std::uint64_t count(const QuestionFile& file) const {
        const auto all = file.questions().size();
        return settings.limit > 0 ? std::min<std::uint64_t>(all, static_cast<std::uint64_t>(settings.limit)) : all;
    }
};

// Answers of one model to one benchmark, in parts until all are there, then in one file beside the parts until the
// stage is done.
struct Exam {
    std::string model;
    const Benchmark* benchmark;
    storage::PartStore parts;
    std::filesystem::path file;
};

struct Sheet {
    std::vector<std::string> predictions, problems;
    std::uint64_t pictures_left_out = 0;
    double seconds = 0;
};

// Waits for `work` of rank 0, which runs beside the main thread; all ranks meet meanwhile, so that no watchdog takes
// them for dead.
void root_works_while_all_meet(const parallel::Communicator& ranks, const std::function<void()>& work) {
    using namespace std::chrono_literals;
    std::future<void> result;
    if (ranks.is_root()) result = std::async(std::launch::async, work);
    const auto busy = [&] { return ranks.is_root() && result.wait_for(200ms) != std::future_status::ready; };
    while (ranks.any(busy())) {}
    parallel::together(ranks, [&] {
        if (result.valid()) result.get();
    });
}

class EvaluateStage : public run::Stage {
public:
    EvaluateStage(const EvaluateSettings& settings, const BenchmarkList& benchmarks,
                  const std::filesystem::path& trained_from,
                  const std::map<std::string, llm::EndpointSettings>& endpoints, const llm::ApiSettings& api)
        : settings_(settings),
          base_model_(settings.base_model.empty() ? trained_from : settings.base_model),
          endpoints_(endpoints),
          api_(api) {
        for (const auto& [name, benchmark] : benchmarks) {
            try {
                benchmarks_.push_back(
                    {name, benchmark, &benchmark_kind(benchmark.kind.empty() ? name : benchmark.kind)});
            } catch (const UsageError& error) {
                throw UsageError(fmt::format("[benchmark.{}]: {}", name, error.what()));
            }
        }
    }

    std::string_view name() const override { return "evaluate"; }
    std::string_view purpose() const override {
        return "benchmarks, answered by the model before and after fine-tuning";
    }
    std::vector<std::string> reads() const override {
        return tests("tuned") ? std::vector<std::string>{"export/model"} : std::vector<std::string>{};
    }
    std::vector<std::string> writes() const override { return {"evaluation.h5", "export/predictions"}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        for (auto benchmark : benchmarks_) {
            inputs.add(benchmark.name).add(result_settings(benchmark.settings));
            run::add_file_identity(inputs, benchmark.settings.file);
            if (!benchmark.settings.answers.empty()) run::add_file_identity(inputs, benchmark.settings.answers);
        }
        if (tests("base")) run::add_file_identity(inputs, base_model_);
        if (!settings_.judge.empty()) inputs.add(endpoints_.at(settings_.judge).model);
    }

    void check() const override {
        if (!settings_.judge.empty() && !endpoints_.contains(settings_.judge)) {
            std::vector<std::string> known;
            for (const auto& [endpoint, ignored] : endpoints_) known.push_back(endpoint);
            throw UsageError(fmt::format("evaluate.judge: there is no [endpoint.{}]", settings_.judge),
                             known.empty() ? "the job has no endpoints" : "known: " + join(known, ", "));
        }
        if (settings_.models.empty()) throw UsageError("evaluate.models is empty", "name base, tuned or both");
        if (tests("base") && !std::filesystem::exists(base_model_ / "config.json"))
            throw InputError(fmt::format("evaluate.base_model: {} holds no config.json",
                                         base_model_.empty() ? "(nothing)" : base_model_.string()),
                             "give the folder of a Hugging Face model");
        for (const auto& benchmark : benchmarks_) {
            const auto& given = benchmark.settings;
            if (given.file.empty())
                throw UsageError(
                    fmt::format("[benchmark.{}] names no file", benchmark.name),
                    benchmark.kind->tsv.empty() ? "set file" : fmt::format("set file to {}.tsv", benchmark.kind->tsv));
            for (const auto& path : {given.file, given.answers})
                if (!path.empty() && !std::filesystem::is_regular_file(path))
                    throw InputError(fmt::format("[benchmark.{}]: {} is not there", benchmark.name, path.string()));
        }
    }

    std::vector<run::PlanLine> plan(const run::Paths&) const override {
        std::vector<run::PlanLine> lines;
        for (const auto& benchmark : benchmarks_) {
            if (!std::filesystem::is_regular_file(benchmark.settings.file)) {
                lines.push_back({benchmark.name, 0, "questions", "its file is not there"});
                continue;
            }
            const auto count = static_cast<double>(benchmark.count(benchmark.open()));
            lines.push_back({benchmark.name, count * static_cast<double>(settings_.models.size()), "answers",
                             fmt::format("{} questions, {} models", count, settings_.models.size())});
            if (benchmark.kind->scoring != Scoring::rules && !settings_.judge.empty())
                lines.push_back({benchmark.name + " judged", count * static_cast<double>(settings_.models.size()),
                                 "requests at most", settings_.judge});
        }
        return lines;
    }

    void run(run::StageContext& context) override;

private:
    bool tests(std::string_view model) const {
        return std::find(settings_.models.begin(), settings_.models.end(), model) != settings_.models.end();
    }
    std::filesystem::path folder_of(const std::string& model, const run::Paths& paths) const {
        return model == "base" ? base_model_ : paths.exported() / "model";
    }
    int tokens_for(const Benchmark& benchmark) const {
        if (benchmark.settings.max_new_tokens > 0) return benchmark.settings.max_new_tokens;
        return settings_.max_new_tokens > 0 ? settings_.max_new_tokens : benchmark.kind->max_new_tokens;
    }
    Convention convention() const {
        return settings_.convention == "official" ? Convention::official : Convention::vlmevalkit;
    }

    void sit(const Exam& exam, const QuestionFile& file, Answerer& answerer, const parallel::Communicator& ranks) const;
    Sheet collect(const Exam& exam) const;
    BenchmarkResult mark(const Exam& exam, const QuestionFile& file, const Sheet& sheet, std::vector<Mark> marks,
                         const std::string& note) const;
    std::string note_on(const Benchmark& benchmark, const QuestionFile& file) const;

    EvaluateSettings settings_;
    std::filesystem::path base_model_;
    std::vector<Benchmark> benchmarks_;
    std::map<std::string, llm::EndpointSettings> endpoints_;
    llm::ApiSettings api_;
};

// Every rank answers its parts; then they are joined in question order.
void EvaluateStage::sit(const Exam& exam, const QuestionFile& file, Answerer& answerer,
                        const parallel::Communicator& ranks) const {
    storage::for_each_part(
        exam.parts, ranks, fmt::format("evaluate {} {}", exam.model, exam.benchmark->name), "questions",
        [&](std::uint64_t, parallel::Slice questions, storage::Hdf5File& out) {
            const auto start = Clock::now();
            const auto answers =
                answerer.answer(file, questions, exam.benchmark->kind->prompt, tokens_for(*exam.benchmark));
            out.write_texts("prediction", answers.texts);
            out.write_texts("problem", answers.problems);
            out.write("pictures_left_out", std::vector{answers.pictures_left_out});
            out.write("seconds", std::vector{std::chrono::duration<double>(Clock::now() - start).count()});
        });
}

Sheet EvaluateStage::collect(const Exam& exam) const {
    const auto in = storage::Hdf5File::open(exam.file);
    Sheet sheet{in.read_texts("prediction"), in.read_texts("problem")};
    for (const auto left_out : in.read<std::uint64_t>("pictures_left_out")) sheet.pictures_left_out += left_out;
    for (const auto seconds : in.read<double>("seconds")) sheet.seconds += seconds;
    return sheet;
}

std::string EvaluateStage::note_on(const Benchmark& benchmark, const QuestionFile& file) const {
    std::vector<std::string> notes;
    const auto& kind = *benchmark.kind;
    const auto count = benchmark.count(file);
    if (benchmark.settings.verify && !kind.md5.empty() && file.path().extension() == ".tsv")
        if (const auto found = md5_of_file(file.path()); found != kind.md5)
            notes.push_back(fmt::format("not the published file (MD5 {} instead of {})", found, kind.md5));
    if (benchmark.settings.verify && kind.rows > 0 && count != kind.rows)
        notes.push_back(fmt::format("{} questions instead of {}", count, kind.rows));
    if (benchmark.settings.limit > 0 && count < file.questions().size())
        notes.push_back(fmt::format("a pilot: the first {} of {} questions", count, file.questions().size()));
    if (const auto& skipped = file.skipped(); skipped.no_picture + skipped.options_named_missing > 0)
        notes.push_back(fmt::format("{} rows without a picture left out, {} options read as missing",
                                    skipped.no_picture, skipped.options_named_missing));
    if (file.questions().empty())
        throw InputError(
            fmt::format("[benchmark.{}]: {} holds no question", benchmark.name, file.path().string()),
            benchmark.split().empty() ? "" : fmt::format("split '{}' may not be in it", benchmark.split()));
    if (!file.has_column("answer") && kind.scoring != Scoring::judge_only)
        throw InputError(
            fmt::format("[benchmark.{}]: {} has no column 'answer', so nothing can be scored", benchmark.name,
                        file.path().string()),
            file.path().extension() == ".tsv" ? "use a split with public answers" : "give its answers file");
    if (const auto [absent, example] = file.absent_pictures(); absent > 0)
        notes.push_back(fmt::format("{} pictures are not there, for example {}", absent, example));
    return join(notes, "; ");
}

BenchmarkResult EvaluateStage::mark(const Exam& exam, const QuestionFile& file, const Sheet& sheet,
                                    std::vector<Mark> marks, const std::string& note) const {
    const auto& kind = *exam.benchmark->kind;
    const std::span questions(file.questions().data(), sheet.predictions.size());
    BenchmarkResult result{exam.model, exam.benchmark->name, &kind};
    result.in_mean = exam.benchmark->settings.in_mean;
    result.headline = exam.benchmark->settings.headline;
    result.questions = questions.size();
    result.seconds = sheet.seconds;
    std::vector<std::string> notes;
    if (!note.empty()) notes.push_back(note);
    for (const auto& mark : marks) result.unread += !mark.understood;
    const auto unseen = static_cast<std::uint64_t>(
        std::count_if(sheet.problems.begin(), sheet.problems.end(), [](const auto& p) { return !p.empty(); }));
    if (unseen > 0)
        notes.push_back(fmt::format("{} questions counted wrong because their picture could not be read", unseen));
    if (sheet.pictures_left_out > 0)
        notes.push_back(
            fmt::format("the model sees one picture: {} further ones were not shown", sheet.pictures_left_out));
    if (kind.scoring != Scoring::rules) {
        if (!settings_.judge.empty())
            notes.push_back(fmt::format("judge: {} ({})", endpoints_.at(settings_.judge).model, settings_.judge));
        else if (kind.scoring == Scoring::judge_helps)
            notes.push_back("a lower bound: no judge read the answers that rules cannot");
        else result.state = "not run: it needs a judge (evaluate.judge)";
    }
    result.note = join(notes, "; ");
    if (result.done()) {
        result.figures = kind.summarise(questions, marks);
        common_scale(result.figures, result.headline);  // an unknown headline is said before hours of other work
    }
    return result;
}

void EvaluateStage::run(run::StageContext& context) {
    const auto& ranks = context.ranks;
    const auto folder = context.paths.parts("evaluate");

    // Every rank reads the questions: files are mapped, and texts are small beside a model.
    std::vector<QuestionFile> files;
    std::vector<std::string> notes;
    parallel::together(ranks, [&] {
        for (const auto& benchmark : benchmarks_) {
            files.push_back(benchmark.open());
            notes.push_back(ranks.is_root() ? note_on(benchmark, files.back()) : "");
            if (!notes.back().empty()) log::warn("benchmark {}: {}", benchmark.name, notes.back());
        }
    });

    std::vector<Exam> exams;
    for (const auto& model : settings_.models)
        for (std::size_t b = 0; b < benchmarks_.size(); ++b) {
            const auto label = fmt::format("{}.{}", model, benchmarks_[b].name);
            const auto done = folder / (label + ".h5");
            std::int64_t gathered = 0;
            parallel::together(ranks, [&] {
                if (ranks.is_root() && std::filesystem::exists(done))
                    gathered = storage::Hdf5File::open(done).text_attribute("fingerprint") == context.fingerprint;
            });
            const auto count = ranks.sum(gathered) > 0 ? 0 : benchmarks_[b].count(files[b]);
            exams.push_back(
                {model, &benchmarks_[b],
                 storage::PartStore(folder / label, {count, static_cast<std::uint64_t>(settings_.questions_per_part)},
                                    context.fingerprint, ranks),
                 done});
        }

    for (const auto& model : settings_.models) {
        std::optional<Answerer> answerer;  // loaded when the first question asks for it
        for (auto& exam : exams) {
            if (exam.model != model || exam.parts.parts().items() == 0) continue;
            const auto b = static_cast<std::size_t>(exam.benchmark - benchmarks_.data());
            if (!answerer && !exam.parts.missing().empty())
                parallel::together(ranks, [&] { answerer.emplace(folder_of(model, context.paths), settings_); });
            if (answerer) sit(exam, files[b], *answerer, ranks);
            exam.parts.gather(exam.file,
                              [&](storage::Hdf5File& out) { out.set_attribute("fingerprint", context.fingerprint); });
        }
    }

    // Marking is rank 0's: texts only.
    std::vector<Sheet> sheets(exams.size());
    std::vector<std::vector<Mark>> marks(exams.size());
    std::vector<JudgedBenchmark> judged;
    std::vector<std::vector<Question>> judged_questions(exams.size());
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        for (std::size_t e = 0; e < exams.size(); ++e) {
            const auto& file = files[static_cast<std::size_t>(exams[e].benchmark - benchmarks_.data())];
            sheets[e] = collect(exams[e]);
            for (std::size_t i = 0; i < sheets[e].predictions.size(); ++i)
                marks[e].push_back(
                    exams[e].benchmark->kind->read(file.questions()[i], sheets[e].predictions[i], convention()));
            const auto* protocol = settings_.judge.empty() ? nullptr : judge_protocol(exams[e].benchmark->kind->name);
            if (!protocol) continue;
            judged_questions[e].assign(
                file.questions().begin(),
                file.questions().begin() + static_cast<std::ptrdiff_t>(sheets[e].predictions.size()));
            judged.push_back({protocol, fmt::format("{} {}", exams[e].model, exams[e].benchmark->name),
                              &judged_questions[e], &sheets[e].predictions, &marks[e]});
        }
    });
    JudgeCost cost;
    if (ranks.any(!judged.empty()))
        root_works_while_all_meet(ranks, [&] {
            cost = judge_answers(judged, convention(), settings_.judge, endpoints_, api_, context.paths.journal());
        });

    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        std::vector<BenchmarkResult> results;
        for (std::size_t e = 0; e < exams.size(); ++e) {
            const auto b = static_cast<std::size_t>(exams[e].benchmark - benchmarks_.data());
            const auto& questions = files[b].questions();
            storage::publish_text(
                context.paths.exported() / "predictions" /
                    fmt::format("{}.{}.tsv", exams[e].model, exams[e].benchmark->name),
                predictions_tsv(
                    {questions.begin(), questions.begin() + static_cast<std::ptrdiff_t>(sheets[e].predictions.size())},
                    sheets[e].predictions, marks[e], sheets[e].problems));
            results.push_back(mark(exams[e], files[b], sheets[e], marks[e], notes[b]));
            const auto& result = results.back();
            if (result.done()) {
                log::info("{} {}: {:.2f} ({} questions, {} answers not understood)", result.model, result.benchmark,
                          result.score(), result.questions, result.unread);
                context.figures.emplace_back(fmt::format("{}.{}", result.model, result.benchmark), result.score());
            } else log::warn("{} {}: {}", result.model, result.benchmark, result.state);
        }
        storage::publish_hdf5(context.paths.file("evaluation.h5"),
                              [&](storage::Hdf5File& out) { write_results(out, results, settings_); });
        for (const auto& mean : mean_scores(results))
            if (mean.name == "all benchmarks") context.figures.emplace_back(mean.model + ".mean", mean.value);
        if (!judged.empty()) {
            context.figures.emplace_back("judge.requests", static_cast<double>(cost.requests));
            context.figures.emplace_back("judge.usd", cost.usd);
        }
        std::filesystem::remove_all(folder);
    });
}

}  // namespace

std::unique_ptr<run::Stage> make_evaluate_stage(const EvaluateSettings& settings, const BenchmarkList& benchmarks,
                                                const std::filesystem::path& trained_from,
                                                const std::map<std::string, llm::EndpointSettings>& endpoints,
                                                const llm::ApiSettings& api) {
    return std::make_unique<EvaluateStage>(settings, benchmarks, trained_from, endpoints, api);
}

}  // namespace tg::evaluation
