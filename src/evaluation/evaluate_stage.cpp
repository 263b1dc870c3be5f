#include "taskgalaxy/evaluation/evaluate_stage.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <optional>
#include <span>

#include "answerer.hpp"
#include "judge.hpp"
#include "md5.hpp"
#include "questions.hpp"
#include "results.hpp"
#include "suite.hpp"
#include "taskgalaxy/asking/endpoints.hpp"
#include "taskgalaxy/asking/inquiry.hpp"
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

// A benchmark opened: every rank holds its questions (files are mapped, and texts are small beside a model).
struct Paper {
    const Benchmark* benchmark;
    QuestionFile file;
    std::string note;  // what a reader of the result must know about the file; rank 0 looks

    std::span<const Question> questions(std::size_t count) const { return std::span(file.questions()).first(count); }
};

// Answers of one model to one benchmark, in parts until all are there, then in one file beside the parts until the
// stage is done.
struct Exam {
    Examinee model;
    const Paper* paper;
    storage::PartStore parts;
    std::filesystem::path file;

    const Benchmark& benchmark() const { return *paper->benchmark; }
    // "tuned mmvet", "tuned.mmvet"
    std::string label(char between) const { return fmt::format("{}{}{}", word_of(model), between, benchmark().name); }
};

// What came of an exam: the answers in question order, and the marks that rules, then the judge, gave them.
struct Sheet {
    std::vector<std::string> predictions, problems;
    std::uint64_t pictures_left_out = 0;
    double seconds = 0;
    std::vector<Mark> marks;
};

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
        return tests(Examinee::tuned) ? std::vector<std::string>{"export/model"} : std::vector<std::string>{};
    }
    std::vector<std::string> writes() const override { return {run::files::evaluation, "export/predictions"}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        for (auto benchmark : benchmarks_) {
            inputs.add(benchmark.name).add(result_settings(benchmark.settings));
            run::add_file_identity(inputs, benchmark.settings.file);
            if (!benchmark.settings.answers.empty()) run::add_file_identity(inputs, benchmark.settings.answers);
        }
        if (tests(Examinee::base)) run::add_file_identity(inputs, base_model_);
        if (!settings_.judge.empty()) asking::add_endpoint(inputs, endpoints_, settings_.judge);
    }

    void check() const override {
        if (!settings_.judge.empty() && !endpoints_.contains(settings_.judge)) {
            std::vector<std::string> known;
            for (const auto& [endpoint, ignored] : endpoints_) known.push_back(endpoint);
            throw UsageError(fmt::format("evaluate.judge: there is no [endpoint.{}]", settings_.judge),
                             known.empty() ? "the job has no endpoints" : "known: " + join(known, ", "));
        }
        if (settings_.models.empty()) throw UsageError("evaluate.models is empty", "name base, tuned or both");
        if (tests(Examinee::base) && !std::filesystem::exists(base_model_ / "config.json"))
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
    bool tests(Examinee model) const {
        return std::find(settings_.models.begin(), settings_.models.end(), model) != settings_.models.end();
    }
    std::filesystem::path folder_of(Examinee model, const run::Paths& paths) const {
        return model == Examinee::base ? base_model_ : paths.exported() / "model";
    }
    int tokens_for(const Benchmark& benchmark) const {
        if (benchmark.settings.max_new_tokens > 0) return benchmark.settings.max_new_tokens;
        return settings_.max_new_tokens > 0 ? settings_.max_new_tokens : benchmark.kind->max_new_tokens;
    }
    const JudgeProtocol* protocol_of(const Benchmark& benchmark) const {
        return settings_.judge.empty() ? nullptr : judge_protocol(benchmark.kind->name);
    }

    // The steps of run(), in order; collective but for the last.
    std::vector<Paper> open_papers(const parallel::Communicator& ranks) const;
    std::vector<Exam> set_exams(const std::vector<Paper>& papers, const run::StageContext& context) const;
    void sit_exams(Examinee model, std::vector<Exam>& exams, const run::StageContext& context) const;
    std::vector<Sheet> mark_by_rules(const std::vector<Exam>& exams, const parallel::Communicator& ranks,
                                     bool here) const;
    void mark_by_judge(const std::vector<Exam>& exams, std::vector<Sheet>& sheets, asking::Inquiry& inquiry,
                       const parallel::Communicator& ranks) const;
    void publish(const std::vector<Exam>& exams, const std::vector<Sheet>& sheets, run::StageContext& context) const;

    std::string note_on(const Benchmark& benchmark, const QuestionFile& file) const;
    void sit(const Exam& exam, Answerer& answerer, const parallel::Communicator& ranks) const;
    Sheet collect(const Exam& exam) const;
    BenchmarkResult result_of(const Exam& exam, const Sheet& sheet) const;

    EvaluateSettings settings_;
    std::filesystem::path base_model_;
    std::vector<Benchmark> benchmarks_;
    asking::Endpoints endpoints_;
    llm::ApiSettings api_;
};

void EvaluateStage::run(run::StageContext& context) {
    const auto& ranks = context.ranks;
    const auto papers = open_papers(ranks);
    auto exams = set_exams(papers, context);
    for (const auto model : settings_.models) sit_exams(model, exams, context);

    const bool judged =
        std::any_of(exams.begin(), exams.end(), [&](const Exam& exam) { return protocol_of(exam.benchmark()); });
    std::optional<asking::Inquiry> inquiry;
    if (judged)
        inquiry.emplace(context, asking::InquiryPlan{.stage = std::string(name()),
                                                     .steps = {std::string(judge_step)},
                                                     .endpoints = endpoints_,
                                                     .endpoint_names = {settings_.judge},
                                                     .api = api_});
    auto sheets = mark_by_rules(exams, ranks, ranks.is_root() || (inquiry && inquiry->asks()));
    run::Figures paid;
    if (inquiry) {
        mark_by_judge(exams, sheets, *inquiry, ranks);
        inquiry->bill(paid);
    }
    parallel::together(ranks, [&] {
        if (ranks.is_root()) publish(exams, sheets, context);
    });
    context.figures.insert(context.figures.end(), paid.begin(), paid.end());
}

std::vector<Paper> EvaluateStage::open_papers(const parallel::Communicator& ranks) const {
    std::vector<Paper> papers;
    parallel::together(ranks, [&] {
        for (const auto& benchmark : benchmarks_) {
            auto& paper = papers.emplace_back(&benchmark, benchmark.open(), std::string());
            if (ranks.is_root()) paper.note = note_on(benchmark, paper.file);
            if (!paper.note.empty()) log::warn("benchmark {}: {}", benchmark.name, paper.note);
        }
    });
    return papers;
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

// One for each model and benchmark, without questions where their answers were gathered by an earlier life.
std::vector<Exam> EvaluateStage::set_exams(const std::vector<Paper>& papers, const run::StageContext& context) const {
    const auto& ranks = context.ranks;
    const auto folder = context.paths.parts(name());
    const auto per_part = static_cast<std::uint64_t>(settings_.questions_per_part);
    std::vector<Exam> exams;
    for (const auto model : settings_.models)
        for (const auto& paper : papers) {
            const auto label = fmt::format("{}.{}", word_of(model), paper.benchmark->name);
            const auto done = folder / (label + ".h5");
            bool gathered = false;
            parallel::together(ranks, [&] {
                if (ranks.is_root() && std::filesystem::exists(done))
                    gathered = storage::Hdf5File::open(done).text_attribute("fingerprint") == context.fingerprint;
            });
            const auto count = ranks.any(gathered) ? 0 : paper.benchmark->count(paper.file);
            exams.push_back({model, &paper,
                             storage::PartStore(folder / label, {count, per_part}, context.fingerprint, ranks), done});
        }
    return exams;
}

void EvaluateStage::sit_exams(Examinee model, std::vector<Exam>& exams, const run::StageContext& context) const {
    std::optional<Answerer> answerer;  // loaded when the first question asks for it
    for (auto& exam : exams) {
        if (exam.model != model || exam.parts.parts().items() == 0) continue;
        if (!answerer && !exam.parts.missing().empty())
            parallel::together(context.ranks, [&] { answerer.emplace(folder_of(model, context.paths), settings_); });
        if (answerer) sit(exam, *answerer, context.ranks);
        exam.parts.gather(exam.file,
                          [&](storage::Hdf5File& out) { out.set_attribute("fingerprint", context.fingerprint); });
    }
}

// Every rank answers its parts.
void EvaluateStage::sit(const Exam& exam, Answerer& answerer, const parallel::Communicator& ranks) const {
    const auto& benchmark = exam.benchmark();
    storage::for_each_part(exam.parts, ranks, "evaluate " + exam.label(' '), "questions",
                           [&](std::uint64_t, parallel::Slice questions, storage::Hdf5File& out) {
                               const auto start = Clock::now();
                               const auto answers = answerer.answer(exam.paper->file, questions, benchmark.kind->prompt,
                                                                    tokens_for(benchmark));
                               const std::chrono::duration<double> seconds = Clock::now() - start;
                               out.write_texts("prediction", answers.texts);
                               out.write_texts("problem", answers.problems);
                               out.write("pictures_left_out", std::vector{answers.pictures_left_out});
                               out.write("seconds", std::vector{seconds.count()});
                           });
}

// `here`: on rank 0, which publishes, and on the ranks that ask the judge. Texts only.
std::vector<Sheet> EvaluateStage::mark_by_rules(const std::vector<Exam>& exams, const parallel::Communicator& ranks,
                                                bool here) const {
    std::vector<Sheet> sheets;
    parallel::together(ranks, [&] {
        if (!here) return;
        for (const auto& exam : exams) {
            auto& sheet = sheets.emplace_back(collect(exam));
            const auto questions = exam.paper->questions(sheet.predictions.size());
            for (std::size_t i = 0; i < questions.size(); ++i)
                sheet.marks.push_back(
                    exam.benchmark().kind->read(questions[i], sheet.predictions[i], settings_.convention));
        }
    });
    return sheets;
}

Sheet EvaluateStage::collect(const Exam& exam) const {
    const auto in = storage::Hdf5File::open(exam.file);
    Sheet sheet{in.read_texts("prediction"), in.read_texts("problem")};
    for (const auto left_out : in.read<std::uint64_t>("pictures_left_out")) sheet.pictures_left_out += left_out;
    for (const auto seconds : in.read<double>("seconds")) sheet.seconds += seconds;
    return sheet;
}

// The asking ranks share what rules could not read; rank 0's sheets get the marks.
void EvaluateStage::mark_by_judge(const std::vector<Exam>& exams, std::vector<Sheet>& sheets, asking::Inquiry& inquiry,
                                  const parallel::Communicator& ranks) const {
    std::vector<JudgedExam> judged;
    std::vector<std::size_t> places;  // of those in `sheets`
    for (std::size_t e = 0; e < sheets.size(); ++e)
        if (const auto* protocol = protocol_of(exams[e].benchmark())) {
            const auto& sheet = sheets[e];
            judged.push_back({protocol, exams[e].label(' '), exams[e].paper->questions(sheet.predictions.size()),
                              sheet.predictions, sheet.marks});
            places.push_back(e);
        }
    std::vector<JudgedMark> mine;
    asking::Errand errand;
    errand.work = [&] {
        inquiry.ask([&](asking::Asker& asker) {
            mine =
                ask_judge(asker, settings_.judge, settings_.convention, judged, {inquiry.number(), inquiry.askers()});
        });
    };
    inquiry.run(std::move(errand));
    for (auto& of_rank : ranks.gather(mine))
        for (auto& [exam, question, mark] : of_rank) sheets[places[exam]].marks[question] = std::move(mark);
}

// On rank 0.
void EvaluateStage::publish(const std::vector<Exam>& exams, const std::vector<Sheet>& sheets,
                            run::StageContext& context) const {
    std::vector<BenchmarkResult> results;
    for (std::size_t e = 0; e < exams.size(); ++e) {
        const auto& sheet = sheets[e];
        const auto questions = exams[e].paper->questions(sheet.predictions.size());
        storage::publish_text(
            context.paths.exported() / "predictions" / (exams[e].label('.') + ".tsv"),
            predictions_tsv({questions.begin(), questions.end()}, sheet.predictions, sheet.marks, sheet.problems));
        const auto& result = results.emplace_back(result_of(exams[e], sheet));
        if (result.done()) {
            log::info("{} {}: {:.2f} ({} questions, {} answers not understood)", result.model, result.benchmark,
                      result.score(), result.questions, result.unread);
            context.figures.emplace_back(exams[e].label('.'), result.score());
        } else log::warn("{} {}: {}", result.model, result.benchmark, result.state);
    }
    evaluation_table(results, settings_).write(context.paths.file(run::files::evaluation));
    for (const auto& mean : mean_scores(results))
        if (mean.name == "all benchmarks") context.figures.emplace_back(mean.model + ".mean", mean.value);
    std::filesystem::remove_all(context.paths.parts(name()));
}

BenchmarkResult EvaluateStage::result_of(const Exam& exam, const Sheet& sheet) const {
    const auto& benchmark = exam.benchmark();
    const auto& kind = *benchmark.kind;
    BenchmarkResult result{std::string(word_of(exam.model)), benchmark.name, &kind};
    result.in_mean = benchmark.settings.in_mean;
    result.headline = benchmark.settings.headline;
    result.questions = sheet.predictions.size();
    result.seconds = sheet.seconds;
    std::vector<std::string> notes;
    if (!exam.paper->note.empty()) notes.push_back(exam.paper->note);
    for (const auto& mark : sheet.marks) result.unread += !mark.understood;
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
        result.figures = kind.summarise(exam.paper->questions(sheet.predictions.size()), sheet.marks);
        common_scale(result.figures, result.headline);  // an unknown headline is said before hours of other work
    }
    return result;
}

}  // namespace

std::unique_ptr<run::Stage> make_evaluate_stage(const EvaluateSettings& settings, const BenchmarkList& benchmarks,
                                                const std::filesystem::path& trained_from,
                                                const std::map<std::string, llm::EndpointSettings>& endpoints,
                                                const llm::ApiSettings& api) {
    return std::make_unique<EvaluateStage>(settings, benchmarks, trained_from, endpoints, api);
}

}  // namespace tg::evaluation
