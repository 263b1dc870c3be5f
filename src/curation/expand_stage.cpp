#include "taskgalaxy/curation/expand_stage.hpp"

#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <future>
#include <optional>
#include <tuple>

#include "expansion.hpp"
#include "taskgalaxy/asking/endpoints.hpp"
#include "taskgalaxy/asking/inquiry.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/llm/tokens.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::curation {
namespace {

// What rank 0 remembers of a taxonomy that another rank may have grown.
struct GrowthCounts {
    std::int64_t level1 = 0, level2 = 0, level3 = 0, leaves = 0;
    std::int64_t answers = 0, failed = 0, exact_duplicates = 0, near_duplicates = 0;

    static GrowthCounts of(const Expanded& grown) {
        const auto levels = grown.taxonomy.level_counts();
        const auto whole = [](std::size_t count) { return static_cast<std::int64_t>(count); };
        return {.level1 = whole(levels[0]),
                .level2 = whole(levels[1]),
                .level3 = whole(levels[2]),
                .leaves = whole(grown.taxonomy.leaves().size()),
                .answers = grown.report.requests,
                .failed = grown.report.failed,
                .exact_duplicates = grown.report.exact_duplicates,
                .near_duplicates = whole(grown.report.dropped.size())};
    }
    void add_to(run::Figures& figures) const {
        const std::pair<const char*, std::int64_t> named[]{{"level1", level1},
                                                           {"level2", level2},
                                                           {"level3", level3},
                                                           {"leaves", leaves},
                                                           {"answers", answers},
                                                           {"failed", failed},
                                                           {"exact_duplicates", exact_duplicates},
                                                           {"near_duplicates", near_duplicates}};
        for (const auto& [name, count] : named) figures.emplace_back(name, static_cast<double>(count));
    }
    void log() const {
        log::info(
            "expand: {} task types at level 1, {} at level 2, {} at level 3; {} exact and {} near-duplicates "
            "dropped; {} requests, {} failed",
            level1, level2, level3, exact_duplicates, near_duplicates, answers, failed);
    }
    template <class Self> static auto fields(Self& c) {
        return std::tie(c.level1, c.level2, c.level3, c.leaves, c.answers, c.failed, c.exact_duplicates,
                        c.near_duplicates);
    }
};

class ExpandStage final : public run::Stage {
public:
    ExpandStage(const ExpandSettings& settings, const PromptSettings& prompts, const asking::Endpoints& endpoints,
                const llm::ApiSettings& api, NameEmbedder clip)
        : settings_(settings), prompts_(prompts), endpoints_(endpoints), api_(api), clip_(std::move(clip)) {}

    ~ExpandStage() override {
        if (!grown_.valid() || waited_for_) return;
        request_stop();  // another stage failed: no more is asked, and what is in flight is kept
        grown_.wait();
    }

    std::string_view name() const override { return "expand"; }
    std::string_view purpose() const override {
        return "grow the taxonomy of task types from the seeds, level by level, and drop near-duplicates";
    }
    std::vector<std::string> reads() const override { return {}; }
    std::vector<std::string> writes() const override { return {run::files::taxonomy, "taxonomy.txt"}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        for (const auto& path : given()) inputs.add(path);
        if (settings_.embedder == MeaningsBy::clip) run::add_file_identity(inputs, clip_.model);
        if (!settings_.ask) return;
        Prompts(prompts_.folder).add_expand(inputs);
        asking::add_endpoint(inputs, endpoints_, settings_.endpoint);
    }

    void check() const override {
        if (given().empty())
            throw InputError(fmt::format("{}: no task type in it", settings_.seeds.string()),
                             "give seeds or a taxonomy_file");
        if (settings_.embedder == MeaningsBy::clip && !std::filesystem::exists(clip_.model / "config.json"))
            throw UsageError("expand.embedder = clip needs the weights of [embed]",
                             "set embed.model, or choose expand.embedder = lexical");
        if (!settings_.ask) return;
        static_cast<void>(Prompts(prompts_.folder));
        asking::check_reachable(endpoints_, api_, {settings_.endpoint});
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override;

    void start_early(const run::StageContext& context) override {
        inquiry_.emplace(context, asking::InquiryPlan{.stage = "expand",
                                                      .steps = {"expand"},
                                                      .endpoints = endpoints_,
                                                      .endpoint_names = {settings_.endpoint},
                                                      .api = api_,
                                                      .askers = asking::Askers::one});
        if (!inquiry_->asks()) return;
        progress_.emplace("expand",
                          static_cast<std::uint64_t>(settings_.level1_target) +
                              static_cast<std::uint64_t>(settings_.level2_target) +
                              static_cast<std::uint64_t>(settings_.level3_target),
                          "task types");
        grown_ = std::async(std::launch::async, [this] {
            try {
                return grow();
            } catch (...) {
                if (!waited_for_) request_stop();  // the stages that run meanwhile need not finish first
                throw;
            }
        });
    }

    void check_early(const parallel::Communicator& ranks) const override {
        std::exception_ptr failure;
        if (grown_.valid() && grown_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
            try {
                grown_.get();
            } catch (...) {  // agreed on below
                failure = std::current_exception();
            }
        }
        parallel::agree(ranks, failure);
    }

    void run(run::StageContext& context) override {
        const auto& ranks = context.ranks;
        if (!inquiry_) start_early(context);
        waited_for_ = true;
        inquiry_->run({.work = [&] { grown_.get(); }});
        GrowthCounts counts;
        parallel::together(ranks, [&] {
            if (!inquiry_->asks()) return;
            const auto& grown = grown_.get();
            progress_->finish();
            storage::publish_text(context.paths.file("taxonomy.txt"), grown.taxonomy.as_text());
            taxonomy::write_grown(context.paths.file(run::files::taxonomy), grown.taxonomy, growth_of(grown.report),
                                  context.fingerprint);
            counts = GrowthCounts::of(grown);
            counts.log();
        });
        // Rank 0's figures are kept, and the asking rank may be another.
        ranks.broadcast(counts, inquiry_->first_rank()).add_to(context.figures);
        inquiry_->bill(context.figures, inquiry_->first_rank());
    }

private:
    // On a thread of its own, on the rank that asks.
    Expanded grow() {
        const auto embedder = settings_.embedder == MeaningsBy::clip ? clip_.make() : taxonomy::lexical_embedder();
        if (!settings_.ask) return given_taxonomy(given(), settings_, embedder);
        const Prompts prompts(prompts_.folder);
        std::optional<Expanded> grown;
        inquiry_->ask([&](asking::Asker& asker) {
            grown = expand_taxonomy(given(), settings_, prompts, embedder, asker, [&](std::int64_t fresh) {
                progress_->note(inquiry_->live_text());
                progress_->add(static_cast<std::uint64_t>(fresh));
            });
        });
        return std::move(grown).value();
    }

    std::vector<std::string> given() const {
        std::vector<std::string> paths;
        if (!settings_.taxonomy_file.empty()) paths = taxonomy::read_path_file(settings_.taxonomy_file.string());
        // A hand-written taxonomy given instead of the asking needs no seeds.
        if (settings_.ask || settings_.taxonomy_file.empty()) {
            auto seeds = taxonomy::read_path_file(settings_.seeds.string());
            seeds.insert(seeds.end(), paths.begin(), paths.end());
            paths = std::move(seeds);
        }
        return paths;
    }

    static taxonomy::Growth growth_of(const ExpansionReport& report) {
        taxonomy::Growth growth = report;
        for (std::size_t i = 0; i < note_count; ++i)
            if (report.notes.counts[i] != 0)
                growth.answers.emplace_back(note_name(static_cast<Note>(i)), report.notes.counts[i]);
        return growth;
    }

    ExpandSettings settings_;
    PromptSettings prompts_;
    asking::Endpoints endpoints_;
    llm::ApiSettings api_;
    NameEmbedder clip_;
    std::optional<asking::Inquiry> inquiry_;  // once the asking began
    std::optional<Progress> progress_;
    std::atomic<bool> waited_for_{false};
    std::shared_future<Expanded> grown_;
};

std::vector<run::PlanLine> ExpandStage::plan(const run::Paths& paths) const {
    if (!settings_.ask) return {{"task types given", static_cast<double>(given().size()), "types", "nothing is asked"}};
    // Each parent is asked about once for its share and about once more until it has nothing new.
    const auto per_level = [&](double parents, double wanted) {
        if (wanted <= 0 || parents <= 0) return 0.0;
        const auto rounds =
            std::min<double>(settings_.rounds, std::ceil(wanted / parents / settings_.names_per_request) + 0.5);
        return std::ceil(parents * rounds);
    };
    const auto seeds = static_cast<double>(given().size());
    const double level1 = std::max<double>(settings_.level1_target, seeds);
    const double requests = per_level(1, level1 - seeds) + per_level(level1, settings_.level2_target) +
                            per_level(settings_.level2_target, settings_.level3_target);
    const double names = std::max(0.0, level1 - seeds) + settings_.level2_target + settings_.level3_target;

    const Prompts prompts(prompts_.folder);
    const auto prompt_tokens = llm::text_tokens(prompts.expand("some field of skill~some narrower skill", {}, 20));
    constexpr double tokens_a_path = 16;
    const auto in = static_cast<std::int64_t>(requests * (static_cast<double>(prompt_tokens) + 4 * tokens_a_path));
    const auto out = static_cast<std::int64_t>(1.2 * names * tokens_a_path);  // a fifth of the paths exist already
    std::vector<run::PlanLine> lines{
        {"task types wanted", level1 + settings_.level2_target + settings_.level3_target, "types"},
        {"requests", requests, "requests"}};
    lines.push_back({"tokens in", static_cast<double>(in), "tokens"});
    lines.push_back({"tokens out", static_cast<double>(out), "tokens"});
    const auto at = endpoints_.find(settings_.endpoint);
    if (at != endpoints_.end()) {
        const auto usd = llm::dollars(at->second, {in, out});
        lines.push_back(
            {"dollars", std::max(usd, 0.0), "$", usd < 0 ? "price unknown: set price_in and price_out" : ""});
        if (at->second.requests_per_minute > 0)
            lines.push_back({"hours at the endpoint's limit", requests / at->second.requests_per_minute / 60, "h"});
    }
    static_cast<void>(paths);
    return lines;
}

}  // namespace

std::unique_ptr<run::Stage> make_expand_stage(const ExpandSettings& settings, const PromptSettings& prompts,
                                              const std::map<std::string, llm::EndpointSettings>& endpoints,
                                              const llm::ApiSettings& api, NameEmbedder clip) {
    return std::make_unique<ExpandStage>(settings, prompts, endpoints, api, std::move(clip));
}

}  // namespace tg::curation
