#include "taskgalaxy/curation/curate_stage.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "estimate.hpp"
#include "expansion.hpp"
#include "figures.hpp"
#include "flow.hpp"
#include "taskgalaxy/asking/endpoints.hpp"
#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/asking/inquiry.hpp"
#include "taskgalaxy/asking/picture_desk.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::curation {
namespace {

std::vector<int> level1_of_types(const taxonomy::Taxonomy& taxonomy, std::vector<std::string>& names) {
    std::vector<int> level1(taxonomy.size(), -1);
    for (std::size_t row = 0; row < taxonomy.size(); ++row) {
        const auto parent = taxonomy.parent(row);
        if (parent < 0) {
            level1[row] = static_cast<int>(names.size());
            names.push_back(taxonomy.path(row));
        } else {
            level1[row] = level1[static_cast<std::size_t>(parent)];  // parents stand first
        }
    }
    return level1;
}

void write_part(auto& out, std::vector<ImageResult>& results, std::size_t k, std::size_t judges) {
    run::SampleRows samples{.judges = judges};
    run::RefineRows refined{.k = k};
    Notes refine, generate, screen;
    for (auto& result : results) {
        refined.state.push_back(static_cast<std::uint8_t>(result.state));
        result.kept.resize(k, 0);
        refined.kept.insert(refined.kept.end(), result.kept.begin(), result.kept.end());
        refine += result.refine_notes, generate += result.generate_notes, screen += result.screen_notes;
        for (auto& sample : result.samples) {
            samples.image.push_back(static_cast<std::int64_t>(result.image));
            samples.type.push_back(sample.type);
            samples.question.push_back(std::move(sample.question));
            samples.answer.push_back(std::move(sample.answer));
            samples.votes.insert(samples.votes.end(), sample.votes.begin(), sample.votes.end());
            samples.kept.push_back(sample.kept);
            samples.state.push_back(static_cast<std::uint8_t>(sample.state));
        }
    }
    std::vector<std::int64_t> notes;
    for (const auto* step : {&refine, &generate, &screen})
        notes.insert(notes.end(), step->counts.begin(), step->counts.end());
    run::write_samples(out, samples, refined, notes);
}

// One API rank's share: takes images part by part, keeps results until a part is whole, and hands whole parts to the
// main thread.
class Share {
public:
    struct Part {
        std::uint64_t index = 0;
        parallel::Slice images;
        std::vector<std::int64_t> types;     // [images, k]
        std::vector<ImageResult> results{};  // room is made when the part is begun: a whole pool of them would not fit
        std::uint64_t open = 0;              // images without a result
    };

    Share(std::vector<Part> parts, std::uint64_t k, const pool::Pool& pool, std::function<bool(std::uint64_t)> chosen,
          asking::SentPicture as_sent)
        : parts_(std::move(parts)), k_(k), pool_(pool), chosen_(std::move(chosen)), as_sent_(as_sent) {
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            parts_[i].open = parts_[i].images.size();
            place_.emplace(parts_[i].index, i);
        }
    }

    std::uint64_t images() const {
        std::uint64_t sum = 0;
        for (const auto& part : parts_) sum += part.images.size();
        return sum;
    }

    // Starts the next image that is to be asked about; false when there is none left. On the asking thread, as the next
    // two.
    bool start_next(CurationFlow& flow) {
        while (at_part_ < parts_.size()) {
            auto& part = parts_[at_part_];
            if (at_image_ == part.images.size()) {
                ++at_part_, at_image_ = 0;
                continue;
            }
            if (at_image_ == 0) part.results.resize(part.images.size());
            const auto image = part.images.begin + at_image_;
            ImageTask task{
                image, std::string(pool_.uri(image)), asking::digest_as_sent(pool_.digest(image), as_sent_), {}};
            for (std::uint64_t i = 0; i < k_; ++i)
                if (const auto type = part.types[at_image_ * k_ + i]; type >= 0) task.types.push_back(type);
            ++at_image_;
            if (pool_.usable(image) && !task.types.empty() && chosen_(image)) {
                flow.start(std::move(task));
                return true;
            }
            ImageResult skipped;
            skipped.image = image;
            skipped.state = !pool_.usable(image) || task.types.empty() ? ImageState::unusable : ImageState::not_asked;
            take(std::move(skipped), part);
        }
        return false;
    }
    void take(ImageResult&& result, std::uint64_t part_index) {
        take(std::move(result), parts_[place_.at(part_index)]);
    }

    // Main thread: parts that became whole since the last call.
    std::vector<Part*> whole_parts() {
        const std::lock_guard lock(mutex_);
        return std::exchange(whole_, {});
    }

private:
    void take(ImageResult&& result, Part& part) {
        part.results[result.image - part.images.begin] = std::move(result);
        if (--part.open > 0) return;
        const std::lock_guard lock(mutex_);
        whole_.push_back(&part);
    }

    std::vector<Part> parts_;
    std::map<std::uint64_t, std::size_t> place_;
    std::uint64_t k_;
    const pool::Pool& pool_;
    std::function<bool(std::uint64_t)> chosen_;
    asking::SentPicture as_sent_;
    std::size_t at_part_ = 0, at_image_ = 0;
    std::mutex mutex_;
    std::vector<Part*> whole_;
};

// What asker `number` of `askers` asks about: each `askers`-th of the missing parts.
std::vector<Share::Part> share_of(const storage::PartStore& store, int number, int askers,
                                  const taxonomy::Taxonomy& taxonomy, const run::MatchTable& matches) {
    std::vector<Share::Part> parts;
    for (auto i = static_cast<std::size_t>(number); i < store.missing().size(); i += static_cast<std::size_t>(askers)) {
        const auto index = store.missing()[i];
        const auto images = store.parts().part(index);
        parts.push_back({index, images, matches.types(images)});
        for (const auto type : parts.back().types)
            if (type >= static_cast<std::int64_t>(taxonomy.size()))
                throw StorageError(fmt::format("matches.h5 names type {} of {}", type, taxonomy.size()),
                                   "make it again with --redo match");
    }
    return parts;
}

// The images of a pilot: usable ones, evenly spread over the pool.
std::function<bool(std::uint64_t)> pilot_of(const pool::Pool& pool, std::int64_t limit) {
    if (limit <= 0) return [](std::uint64_t) { return true; };
    std::vector<std::uint64_t> usable;
    for (std::uint64_t image = 0; image < pool.size(); ++image)
        if (pool.usable(image)) usable.push_back(image);
    auto chosen = std::make_shared<std::unordered_set<std::uint64_t>>();
    const auto wanted = std::min<std::uint64_t>(static_cast<std::uint64_t>(limit), usable.size());
    for (std::uint64_t i = 0; i < wanted; ++i)
        chosen->insert(usable[parallel::slice_of(usable.size(), i, wanted).begin]);
    return [chosen](std::uint64_t image) { return chosen->contains(image); };
}

class CurateStage final : public run::Stage {
public:
    CurateStage(const CurateSettings& settings, const PromptSettings& prompts, const pool::PoolSettings& pool,
                const asking::Endpoints& endpoints, const llm::ApiSettings& api)
        : settings_(settings), prompts_(prompts), pool_(pool), endpoints_(endpoints), api_(api) {}

    std::string_view name() const override { return "curate"; }
    std::string_view purpose() const override {
        return "refine, generate and screen as one stream: which types fit each image, a question and answer for each, "
               "votes of the judges";
    }
    std::vector<std::string> reads() const override {
        return {run::files::pool, run::files::taxonomy, run::files::matches};
    }
    std::vector<std::string> writes() const override { return {run::files::samples}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        auto api = api_;
        inputs.add(result_settings(settings.refine))
            .add(result_settings(settings.generate))
            .add(result_settings(settings.screen))
            .add(result_settings(api));
        Prompts(prompts_.folder).add_curate(inputs);
        for (const auto& name : endpoint_names()) asking::add_endpoint(inputs, endpoints_, name);
    }

    void check() const override {
        if (settings_.screen.keep_votes > static_cast<int>(settings_.screen.judges.size()))
            throw UsageError(fmt::format("screen.keep_votes = {} with {} judges: nothing could be kept",
                                         settings_.screen.keep_votes, settings_.screen.judges.size()),
                             "lower it or name more judges");
        auto judges = settings_.screen.judges;
        std::sort(judges.begin(), judges.end());
        if (const auto twice = std::adjacent_find(judges.begin(), judges.end()); twice != judges.end())
            throw UsageError(fmt::format("screen.judges names '{}' twice", *twice),
                             "its two votes would be one opinion");
        static_cast<void>(Prompts(prompts_.folder));
        asking::check_reachable(endpoints_, api_, endpoint_names());
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override;
    void run(run::StageContext& context) override;

private:
    std::vector<std::string> endpoint_names() const {
        std::vector<std::string> names{settings_.refine.endpoint, settings_.generate.endpoint};
        names.insert(names.end(), settings_.screen.judges.begin(), settings_.screen.judges.end());
        return names;
    }
    [[noreturn]] void raise_none_alarm(std::int64_t none, std::int64_t refined) const {
        throw InputError(
            fmt::format(
                "refine: {} of {} images ({:.0f} %) fit none of their candidates, more than refine.max_none_rate = {}",
                none, refined, 100.0 * static_cast<double>(none) / static_cast<double>(refined),
                settings_.refine.max_none_rate),
            "look at the matches and the taxonomy, raise match.k, or raise refine.max_none_rate; every answer paid for "
            "is kept");
    }
    bool too_many_none(std::int64_t none, std::int64_t refined) const {
        return refined > 0 && static_cast<double>(none) > settings_.refine.max_none_rate * static_cast<double>(refined);
    }

    void ask(asking::Inquiry& inquiry, const run::StageContext& context, const storage::PartStore& store,
             const taxonomy::Taxonomy& taxonomy, const run::MatchTable& matches) const;
    CurationFigures count(const storage::PartStore& store, const parallel::Communicator& ranks,
                          const taxonomy::Taxonomy& taxonomy, const run::MatchTable& matches) const;

    CurateSettings settings_;
    PromptSettings prompts_;
    pool::PoolSettings pool_;
    asking::Endpoints endpoints_;
    llm::ApiSettings api_;
};

void CurateStage::run(run::StageContext& context) {
    const auto& ranks = context.ranks;
    const auto matches_h5 = context.paths.file(run::files::matches);
    std::optional<taxonomy::Taxonomy> taxonomy;
    std::optional<run::MatchTable> matches;
    parallel::together(ranks, [&] {
        taxonomy = taxonomy::Taxonomy::read(context.paths.file(run::files::taxonomy));
        matches.emplace(matches_h5);
    });
    asking::Inquiry inquiry(context, {.stage = "curate",
                                      .steps = {"refine", "generate", "screen"},
                                      .endpoints = endpoints_,
                                      .endpoint_names = endpoint_names(),
                                      .api = api_});
    const storage::PartStore store(context.paths.parts("curate"),
                                   {matches->images(), static_cast<std::uint64_t>(settings_.refine.images_per_part)},
                                   context.fingerprint, ranks);
    ask(inquiry, context, store, *taxonomy, *matches);

    const auto figures = count(store, ranks, *taxonomy, *matches);
    const auto none = figures.images(ImageState::none), refined = none + figures.images(ImageState::kept_some);
    parallel::together(ranks, [&] {
        if (too_many_none(none, refined)) raise_none_alarm(none, refined);
    });
    if (ranks.is_root()) figures.log();
    figures.add_to(context.figures);
    inquiry.bill(context.figures);
    store.gather(context.paths.file(run::files::samples), [&](auto& file) {
        auto table = figures.table();
        table.keep_votes = settings_.screen.keep_votes;
        table.limit_items = settings_.refine.limit_items;
        run::write_sample_figures(file, table, ranks.is_root());
    });
}

void CurateStage::ask(asking::Inquiry& inquiry, const run::StageContext& context, const storage::PartStore& store,
                      const taxonomy::Taxonomy& taxonomy, const run::MatchTable& matches) const {
    const auto& ranks = context.ranks;
    std::optional<pool::Pool> pool;
    std::optional<Prompts> prompts;
    std::optional<Share> share;
    std::optional<Progress> progress;
    FlowCounts counts;
    const asking::SentPicture as_sent{api_.image_longest_side, api_.jpeg_quality};
    const auto part_of = [&](std::uint64_t image) { return store.parts().part_of(image); };

    parallel::together(ranks, [&] {
        if (!inquiry.asks()) return;
        prompts.emplace(prompts_.folder);
        pool.emplace(context.paths.file(run::files::pool), pool_);
        if (pool->size() != matches.images())
            throw StorageError(fmt::format("pool.h5 has {} images and matches.h5 {}", pool->size(), matches.images()),
                               "make the later file again with --redo embed");
        share.emplace(share_of(store, inquiry.number(), inquiry.askers(), taxonomy, matches), matches.k(), *pool,
                      pilot_of(*pool, settings_.refine.limit_items), as_sent);
        progress.emplace("curate", share->images(), "images");
    });

    const auto questions = [&](asking::Asker& asker) {
        asking::PictureDesk desk(
            [&](std::uint64_t image) { return pictures::decode(pool->read(image), pool->decode_options()); }, as_sent);
        CurationFlow flow(
            settings_, *prompts,
            [&](std::int64_t type) -> const std::string& { return taxonomy.path(static_cast<std::size_t>(type)); },
            [&](std::uint64_t image) { return desk.get(image); }, asker, counts,
            [&](ImageResult&& result) {
                const auto part = part_of(result.image);
                share->take(std::move(result), part);
            });
        llm::throw_if_ended_early(asker.run([&] { return share->start_next(flow); }), "curate");
    };
    const auto write_whole_parts = [&] {
        for (auto* part : share->whole_parts()) {
            store.write(part->index, [&](auto& out) {
                write_part(out, part->results, matches.k(), settings_.screen.judges.size());
            });
            *part = {part->index, part->images, {}};  // on disk now
        }
    };
    std::int64_t shown = 0;
    const auto show_progress = [&] {
        const auto finished = counts.finished.load();
        progress->add(static_cast<std::uint64_t>(finished - shown));
        shown = finished;
        const auto refined = counts.refined.load();
        const auto live = inquiry.live_text();
        progress->note(fmt::format(
            "None {:.0f} %, {} samples, {} votes, {} kept{}",
            refined == 0 ? 0.0 : 100.0 * static_cast<double>(counts.none) / static_cast<double>(refined),
            counts.generated.load(), counts.judged.load(), counts.kept.load(), live.empty() ? "" : ", " + live));
    };
    asking::Errand errand;
    errand.work = [&] { inquiry.ask(questions); };
    errand.serve = [&] {
        write_whole_parts();
        show_progress();
    };
    errand.counts = [&] { return std::vector<std::int64_t>{counts.refined, counts.none}; };
    errand.look = [&](std::span<const std::int64_t> sums) {
        if (sums[0] >= settings_.refine.none_rate_after && too_many_none(sums[1], sums[0]))
            raise_none_alarm(sums[1], sums[0]);
    };
    inquiry.run(std::move(errand));
}

CurationFigures CurateStage::count(const storage::PartStore& store, const parallel::Communicator& ranks,
                                   const taxonomy::Taxonomy& taxonomy, const run::MatchTable& matches) const {
    std::vector<std::string> level1_names;
    const auto level1 = level1_of_types(taxonomy, level1_names);
    const auto judges = settings_.screen.judges.size();
    CurationFigures figures(settings_.screen.judges, std::move(level1_names));
    parallel::together(ranks, [&] {
        const auto mine = parallel::slice_of(store.parts().count(), static_cast<std::uint64_t>(ranks.rank()),
                                             static_cast<std::uint64_t>(ranks.size()));
        for (auto index = mine.begin; index < mine.end; ++index) {
            const auto images = store.parts().part(index);
            const auto types = matches.types(images);
            const auto part = run::read_sample_marks(store.path(index));
            const auto &states = part.refined.state, &kept = part.refined.kept;
            const auto k = types.size() / std::max<std::size_t>(states.size(), 1);
            for (std::size_t i = 0; i < states.size(); ++i) {
                const auto state = static_cast<ImageState>(states[i]);
                const auto best = k > 0 ? types[i * k] : -1;
                figures.add_image(state, best < 0 ? -1 : level1[static_cast<std::size_t>(best)]);
                if (state != ImageState::kept_some && state != ImageState::none) continue;
                for (std::size_t c = 0; c < k; ++c)
                    if (const auto type = types[i * k + c]; type >= 0)
                        figures.add_candidate(level1[static_cast<std::size_t>(type)], kept[i * k + c] != 0);
            }
            for (std::size_t i = 0; i < part.state.size(); ++i)
                figures.add_sample(static_cast<SampleState>(part.state[i]), part.kept[i] != 0,
                                   part.votes.data() + i * judges);
            figures.add_notes(part.notes);
        }
    });
    figures.sum(ranks);
    return figures;
}

std::vector<run::PlanLine> CurateStage::plan(const run::Paths& paths) const {
    CurationLoad load;
    const auto pool_h5 = paths.file(run::files::pool), matches_h5 = paths.file(run::files::matches),
               samples_h5 = paths.file(run::files::samples);
    if (!std::filesystem::exists(pool_h5)) return {{"images to refine", 0, "images", "known once ingest has run"}};
    const auto usable = static_cast<double>(pool::usable_count(pool_h5));
    load.images =
        settings_.refine.limit_items > 0 ? std::min(usable, static_cast<double>(settings_.refine.limit_items)) : usable;
    if (std::filesystem::exists(matches_h5)) load.candidates = static_cast<double>(run::MatchTable(matches_h5).k());
    if (std::filesystem::exists(samples_h5)) {
        const auto states = run::read_image_states(samples_h5);
        load.pilot_images = static_cast<double>(states[0] + states[1] + states[2]);
        load.pilot = asking::read_expenses(asking::expenses_file(paths, name()));
    }
    return estimate_curation(load, settings_, Prompts(prompts_.folder), endpoints_, api_);
}

}  // namespace

std::unique_ptr<run::Stage> make_curate_stage(const CurateSettings& settings, const PromptSettings& prompts,
                                              const pool::PoolSettings& pool,
                                              const std::map<std::string, llm::EndpointSettings>& endpoints,
                                              const llm::ApiSettings& api) {
    return std::make_unique<CurateStage>(settings, prompts, pool, endpoints, api);
}

}  // namespace tg::curation
