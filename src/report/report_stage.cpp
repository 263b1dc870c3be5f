#include "taskgalaxy/report/report_stage.hpp"

#include <fmt/format.h>
#include <optional>

#include "findings.hpp"
#include "page.hpp"
#include "tables.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::report {
namespace {

class ReportStage : public run::Stage {
public:
    ReportStage(const ReportSettings& settings, const pool::PoolSettings& pool,
                const simulator::GroundTruthSettings& truth)
        : settings_(settings), pool_(pool), truth_(truth) {}

    std::string_view name() const override { return "report"; }
    std::string_view purpose() const override { return "what the run did, as one HTML page and CSV files"; }
    std::vector<std::string> reads() const override { return {}; }
    // Whatever is there; the page says what is not.
    std::vector<std::string> looks_at() const override {
        return {run::files::pool,   run::files::taxonomy,     run::files::matches,   run::files::samples,
                "export/README.md", run::files::training_log, run::files::evaluation};
    }
    std::vector<std::string> writes() const override { return {"report/index.html"}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        auto truth = truth_;
        inputs.add(result_settings(settings)).add(result_settings(truth));
        if (!settings_.held_out.empty()) run::add_file_identity(inputs, settings_.held_out);
    }

    void check() const override {
        if (settings_.ground_truth == TruthSource::folder && truth_.pictures.empty())
            throw UsageError("report.ground_truth is 'folder', but ground_truth.pictures names no folder");
        if (!settings_.held_out.empty() && !std::filesystem::is_regular_file(settings_.held_out))
            throw InputError(fmt::format("report.held_out: {} is not there", settings_.held_out.string()));
    }

    void run(run::StageContext& context) override {
        parallel::together(context.ranks, [&] {
            if (context.ranks.is_root()) write(context);
        });
    }

private:
    void write(run::StageContext& context) const {
        const auto run = report::RunData::read(context.paths);
        std::optional<simulator::GroundTruth> truth;
        if (settings_.ground_truth != TruthSource::none && !truth_.pictures.empty()) truth.emplace(truth_);
        std::optional<pool::Pool> pool;
        if (run.pool && run.curation && settings_.gallery > 0)
            pool.emplace(context.paths.file(run::files::pool), pool_);

        const auto found = report::find_out(run, settings_, truth ? &*truth : nullptr);
        for (const auto& [name, text] : report::csv_tables(run, found))
            storage::publish_text(context.paths.report() / name, text);
        const auto page =
            report::html_page({run, found, settings_, pool ? &*pool : nullptr, truth ? &*truth : nullptr});
        storage::publish_text(context.paths.report() / "index.html", page);

        if (found.hits && found.hits->pictures > 0) {
            context.figures.emplace_back("matching.pictures", static_cast<double>(found.hits->pictures));
            context.figures.emplace_back("matching.types_looked_at", static_cast<double>(found.hits->headline()));
            context.figures.emplace_back("matching.own_folder_found", found.hits->found());
            context.figures.emplace_back("matching.by_chance", found.hits->found_by_chance());
        }
        if (found.screening && found.screening->judged > 0) {
            context.figures.emplace_back("screening.precision", found.screening->precision());
            context.figures.emplace_back("screening.recall", found.screening->recall());
            context.figures.emplace_back(
                "screening.planted_wrong",
                static_cast<double>(found.screening->wrong_kept + found.screening->wrong_rejected));
        }
        log::info("report: {}", (context.paths.report() / "index.html").string());
    }

    ReportSettings settings_;
    pool::PoolSettings pool_;
    simulator::GroundTruthSettings truth_;
};

}  // namespace

std::unique_ptr<run::Stage> make_report_stage(const ReportSettings& settings, const pool::PoolSettings& pool,
                                              const simulator::GroundTruthSettings& truth) {
    return std::make_unique<ReportStage>(settings, pool, truth);
}

}  // namespace tg::report
