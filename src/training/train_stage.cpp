#include "taskgalaxy/training/train_stage.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <optional>

#include <c10/util/Logging.h>
#include <fmt/format.h>

#include "checkpoint.hpp"
#include "event_file.hpp"
#include "export_model.hpp"
#include "flops.hpp"
#include "memory_plan.hpp"
#include "sample_feed.hpp"
#include "step_guard.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/pictures/preprocess.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "trainer.hpp"
#include "training_log.hpp"
#include "validation.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double resident_mib() {
    std::ifstream status("/proc/self/statm");
    std::uint64_t size = 0, resident = 0;
    status >> size >> resident;
    return static_cast<double>(resident) * 4096 / (1 << 20);
}

double wall_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<std::pair<std::string, double>> tagged(const LogRow& row) {
    auto scalars = TrainingLog::scalars(row);
    for (auto& [name, value] : scalars) name = "train/" + name;
    return scalars;
}

// With the steps that were done before, at about the times they were.
EventFile begin_event_file(const fs::path& folder, const TrainingLog& log) {
    double time = wall_time();
    for (const auto& row : log.rows()) time -= row.seconds;
    EventFile events(folder, time);
    for (const auto& row : log.rows())
        events.add(static_cast<std::int64_t>(row.step), time += row.seconds, tagged(row));
    for (const auto& row : log.validation())
        events.add(static_cast<std::int64_t>(row.step), time, {{"validation/loss", row.loss}});
    return events;
}

void add_up(FeedFigures& sum, const FeedFigures& part) {
    sum.samples += part.samples, sum.text_only += part.text_only, sum.cut += part.cut, sum.failed += part.failed,
        sum.waited_s += part.waited_s;
    for (const auto& [reason, count] : part.reasons) sum.reasons[reason] += count;
}

std::int64_t steps_of(const TrainSettings& settings, const StepOrder& order) {
    const auto by_epochs =
        static_cast<std::int64_t>(std::ceil(settings.epochs * static_cast<double>(order.steps_per_epoch())));
    return settings.max_steps > 0 ? settings.max_steps : by_epochs;
}

class TrainStage : public run::Stage {
public:
    TrainStage(const TrainSettings& settings, const pool::PoolSettings& pool) : settings_(settings), pool_(pool) {}

    std::string_view name() const override { return "train"; }
    std::string_view purpose() const override { return "fine-tunes a vision-language model on the exported samples"; }
    std::vector<std::string> reads() const override {
        std::vector<std::string> files;
        if (settings_.data.empty()) files.push_back("export/train.json");
        if (settings_.image_root.empty()) files.push_back("pool.h5");
        return files;
    }
    std::vector<std::string> writes() const override {
        std::vector<std::string> files{"training_log.h5"};
        if (settings_.lora_rank > 0) files.push_back("export/adapter");
        if (settings_.lora_rank == 0 || settings_.lora_merge) files.push_back("export/model");
        return files;
    }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        run::add_file_identity(inputs, settings_.model);
        for (const auto& source : read_sources(settings_.data)) run::add_file_identity(inputs, source.file);
        if (!validation_share(settings_.validation))
            for (const auto& source : read_sources(settings_.validation)) run::add_file_identity(inputs, source.file);
    }

    void check() const override {
        if (settings_.model.empty())
            throw UsageError("train.model is not set", "name the Hugging Face folder of the model to fine-tune");
        read_sources(settings_.data);
        if (!validation_share(settings_.validation)) read_sources(settings_.validation);
        if (settings_.spike > 0 && settings_.spike <= 1)
            throw UsageError(fmt::format("train.spike = {} would take usual steps for spikes", settings_.spike),
                             "write how many times the median one is, 5 for example");
        if (settings_.validation.empty() && settings_.validation_steps > 0)
            throw UsageError("train.validation_steps is set without train.validation",
                             "set train.validation, 0.01 for example");
        const auto parts = models::VlmParts::describe(settings_.model);
        models::check_exportable(*parts);
        if (settings_.lora_rank > 0 && settings_.train_parts == "projector")
            throw UsageError(
                "train.lora_rank gives adapters to the language model, and train.train_parts = projector freezes it",
                "choose one");
        if (settings_.lora_rank == 0 && !settings_.lora_targets.empty())
            throw UsageError("train.lora_targets is set without train.lora_rank",
                             "set train.lora_rank, 128 for example");
        if (settings_.shard_vision && !parts->family.starts_with("internvl"))
            throw UsageError(
                fmt::format("train.shard_vision: the tower of a {} is kept whole on every rank", parts->family),
                "only InternViT is cut");
        if (settings_.style != "auto") text::conversation_style(settings_.style);
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override {
        const auto parts = models::VlmParts::describe(settings_.model);
        if (settings_.lora_rank > 0) parts->language.add_adapters(lora_options());
        std::int64_t trained = 0;
        for (const auto* unit : trained_units(*parts)) trained += unit->elements();
        std::vector<run::PlanLine> lines{{"parameters that learn", static_cast<double>(trained), ""}};
        if (!settings_.data.empty() || fs::exists(exported_samples(paths))) {
            const auto solo = parallel::make_solo();
            const SampleSet samples(sources(paths), *solo);
            const auto order = step_order(samples);
            lines.push_back({"samples an epoch", static_cast<double>(order.samples_per_epoch()), "",
                             fmt::format("{} with a picture in the files", samples.pictures())});
            lines.push_back({"steps", static_cast<double>(steps_of(settings_, order)), "",
                             fmt::format("{} samples a step", settings_.global_batch)});
        }
        add_memory(lines, *parts);
        lines.push_back({"one checkpoint", static_cast<double>(trained) * 12 / (1 << 30), "GiB",
                         fmt::format("{} are kept", settings_.keep_checkpoints)});
        return lines;
    }

    void run(run::StageContext& context) override;

private:
    static fs::path exported_samples(const run::Paths& paths) { return paths.exported() / "train.json"; }
    std::vector<SampleSource> sources(const run::Paths& paths) const {
        return settings_.data.empty() ? std::vector<SampleSource>{{exported_samples(paths)}}
                                      : read_sources(settings_.data);
    }
    StepOrder step_order(const SampleSet& samples) const {
        const auto seed = static_cast<std::uint64_t>(settings_.seed);
        StepOrder::Choice choice;
        if (const auto share = validation_share(settings_.validation))
            choice = [seed, share](std::uint64_t sample) { return !is_held_out(sample, seed, *share); };
        return StepOrder(samples, static_cast<std::uint64_t>(settings_.global_batch), seed,
                         settings_.group_by == "modality", std::move(choice));
    }
    bool rolls_back() const {
        return settings_.on_nan == "roll_back" || (settings_.spike > 0 && settings_.on_spike == "roll_back");
    }
    TrainerOptions trainer_options() const;
    std::vector<layers::Unit*> trained_units(models::VlmParts& parts) const {
        std::vector<layers::Unit*> units;
        if (parts.projector && settings_.train_parts != "language") units.push_back(&parts.projector->unit());
        if (settings_.train_parts == "projector") return units;
        for (auto* unit : parts.language.units())
            if (settings_.lora_rank == 0) units.push_back(unit);
        for (auto& layer : parts.language.layers)
            if (layer.adapters()) units.push_back(layer.adapters());
        return units;
    }
    layers::LoraOptions lora_options() const {
        return {settings_.lora_rank, settings_.lora_alpha, settings_.lora_targets,
                static_cast<std::uint64_t>(settings_.seed)};
    }
    GuardOptions guard_options() const {
        return {step_verdict(settings_.on_nan), step_verdict(settings_.on_spike), settings_.spike};
    }
    pictures::PictureRecipe recipe_of(const models::VlmParts& parts) const {
        auto recipe = parts.picture_recipe(settings_.pad_images);
        if (settings_.max_tiles == 0) return recipe;
        if (!recipe.tiled())
            throw UsageError(fmt::format("train.max_tiles = {}, but {} sees a picture whole", settings_.max_tiles,
                                         parts.folder.string()),
                             "leave it 0");
        recipe.rule.max_tiles = std::max(recipe.rule.min_tiles, settings_.max_tiles);
        return recipe;
    }
    void add_memory(std::vector<run::PlanLine>& lines, models::VlmParts& parts) const;
    void train(run::StageContext& context);
    PictureReader picture_reader(const models::VlmParts& parts, const run::Paths& paths, const SampleSet& samples);

    TrainSettings settings_;
    pool::PoolSettings pool_;
    std::optional<pool::Pool> opened_pool_;
};

TrainerOptions TrainStage::trainer_options() const {
    TrainerOptions options;
    options.device = layers::choose_device(settings_.device);
    options.dtype = settings_.precision == "bf16" ? torch::kBFloat16 : torch::kFloat32;
    options.sharding = settings_.sharding == "full"     ? Sharding::full
                       : settings_.sharding == "hybrid" ? Sharding::hybrid
                                                        : Sharding::optimizer;
    options.shard_ranks = settings_.shard_ranks;
    options.shard_vision = settings_.shard_vision;
    options.activation_checkpointing = settings_.activation_checkpointing;
    options.loss_chunk = settings_.loss_chunk;
    options.train_projector = settings_.train_parts != "language";
    options.train_language = settings_.train_parts != "projector";
    options.moments = settings_.moments == "8bit"   ? MomentFormat::int8
                      : settings_.moments == "host" ? MomentFormat::host
                                                    : MomentFormat::fp32;
    options.adam = {settings_.beta1, settings_.beta2, settings_.epsilon, settings_.weight_decay};
    options.clip_norm = settings_.clip_norm;
    if (settings_.projector_learning_rate > 0 && settings_.learning_rate > 0)
        options.projector_rate = settings_.projector_learning_rate / settings_.learning_rate;
    return options;
}

// Ranks that this process was started with, in all and on its node, as the launchers say it.
std::int64_t launched(std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (const char* value = std::getenv(name)) return std::max(1, std::atoi(value));
    return 1;
}

void TrainStage::add_memory(std::vector<run::PlanLine>& lines, models::VlmParts& parts) const {
    const auto options = trainer_options();
    const auto ranks = settings_.plan_ranks > 0 ? settings_.plan_ranks
                                                : launched({"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "PMI_SIZE"});
    const auto on_node = std::min<std::int64_t>(
        ranks, settings_.plan_ranks > 0 && !options.device.is_cpu()
                   ? torch::cuda::device_count()
                   : launched({"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE", "MPI_LOCALNRANKS"}));
    auto question = memory_question(parts, options,
                                    options.sharding != Sharding::hybrid ? ranks
                                    : options.shard_ranks > 0            ? options.shard_ranks
                                                                         : on_node);
    question.tokens = std::int64_t{settings_.micro_batch} *
                      std::min<std::int64_t>(settings_.max_length, parts.language.config.context);
    if (parts.vision) {
        const auto rule = recipe_of(parts).rule;
        question.tiles = std::int64_t{settings_.micro_batch} * (rule.max_tiles + (rule.thumbnail ? 1 : 0));
    }
    const auto memory = memory_plan(question);
    const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
    const auto program = static_cast<std::int64_t>(resident_mib() * (1 << 20)),
               cache = parts.vision ? std::int64_t{settings_.feature_cache_mib} << 20 : 0;
    const auto here = memory_of(options.device, on_node),
               needed = memory.peak + (options.device.is_cpu() ? program + cache : cache);
    const auto add = [&](const char* what, std::int64_t bytes, std::string note = {}) {
        lines.push_back({what, gib(bytes), "GiB", std::move(note)});
    };
    add("memory a rank: weights", memory.weights, fmt::format("{} ranks, sharding = {}", ranks, settings_.sharding));
    add("memory a rank: gradients", memory.gradients);
    add("memory a rank: masters and moments", memory.optimizer);
    add("memory a rank: vision tower", memory.tower);
    add("memory a rank: activations", memory.activations,
        fmt::format("{} positions at once; train.micro_batch and activation_checkpointing change it", question.tokens));
    add("memory a rank: gathered units", memory.gathered);
    add("memory a rank: logits", memory.logits, fmt::format("{} rows at once", settings_.loss_chunk));
    add("memory a rank: most at once", needed,
        here == 0        ? ""
        : needed <= here ? fmt::format("fits: a rank has {:.1f} GiB here", gib(here))
                         : fmt::format("does not fit: a rank has {:.1f} GiB here", gib(here)));
}

PictureReader TrainStage::picture_reader(const models::VlmParts& parts, const run::Paths& paths,
                                         const SampleSet& samples) {
    if (!parts.vision) {
        if (samples.pictures() > 0)
            throw InputError(fmt::format("{} samples have a picture, but {} is a {} without a vision tower",
                                         samples.pictures(), parts.folder.string(), parts.family),
                             "train a vision-language model, or text alone");
        return {};
    }
    const auto recipe = recipe_of(parts);
    if (!settings_.image_root.empty())
        return [recipe, root = settings_.image_root, options = pool_.decode_options()](const std::string& image) {
            const auto bytes = read_text_file(root / image);
            return models::picture_tiles(std::as_bytes(std::span(bytes)), image, recipe, options);
        };
    opened_pool_.emplace(paths.file("pool.h5"), pool_);
    return [recipe, &pool = *opened_pool_](const std::string& image) {
        const auto row = pool.find(image);
        if (!row) throw InputError(fmt::format("{} is not in the pool", image));
        return models::picture_tiles(pool.read(*row), image, recipe, pool.decode_options());
    };
}

// A failure for want of memory, in the words of whoever met it, gets the setting that helps; others pass.
void TrainStage::run(run::StageContext& context) {
    const auto lack = [](std::string_view what) {
        return what.find("allocate memory") != what.npos || what.find("out of memory") != what.npos ||
               what.find("bad_alloc") != what.npos;
    };
    const auto advice = [&] {
        std::vector<std::string> knobs;
        if (settings_.micro_batch > 1)
            knobs.push_back(fmt::format("train.micro_batch = {}", settings_.micro_batch / 2));
        if (!settings_.activation_checkpointing) knobs.push_back("train.activation_checkpointing = yes");
        if (settings_.sharding == "optimizer") knobs.push_back("train.sharding = full");
        knobs.push_back("more ranks");
        return fmt::format("what helps, the cheapest first: {}; the command plan says how much each takes",
                           fmt::join(knobs, ", "));
    };
    FLAGS_caffe2_use_fatal_for_enforce = false;  // libtorch shall throw where it finds no memory, not end the process
    try {
        train(context);
    } catch (const parallel::AgreedFailure& failure) {
        if (!lack(failure.what())) throw;
        throw parallel::AgreedFailure(
            ExitCode::input, failure.failed_rank(),
            fmt::format("train: out of memory ({}); {}", excerpt(failure.what(), 160), advice()));
    } catch (const Error&) {
        throw;
    } catch (const std::exception& failure) {
        if (!lack(failure.what())) throw;
        throw InputError(fmt::format("train: out of memory ({})", excerpt(failure.what(), 160)), advice());
    }
}

// Goes on from the newest checkpoint; a roll back takes `step` back, so that the loop may pass a step twice.
void TrainStage::train(run::StageContext& context) {
    const auto& ranks = context.ranks;
    std::unique_ptr<models::VlmParts> parts;
    std::vector<SampleSource> data;
    PictureReader reader;
    TrainerOptions options;
    parallel::together(ranks, [&] {
        at::set_num_threads(static_cast<int>(usable_cores()));
        options = trainer_options();
        parts = models::VlmParts::describe(settings_.model);
        if (settings_.style != "auto") parts->style = &text::conversation_style(settings_.style);
        if (settings_.decay == "all")
            for (auto* unit : parts->units())
                for (auto& parameter : unit->parameters) parameter.decays = true;
        if (settings_.lora_rank > 0) parts->language.add_adapters(lora_options());
        data = sources(context.paths);
    });
    const SampleSet samples(std::move(data), ranks);
    parallel::together(ranks, [&] { reader = picture_reader(*parts, context.paths, samples); });
    Trainer trainer(*parts, ranks, options);
    const auto order = step_order(samples);
    const auto steps = steps_of(settings_, order);
    const Schedule schedule{settings_.learning_rate, settings_.warmup_ratio, steps, settings_.schedule == "cosine"};

    TrainingLog training_log;
    const auto aside = settings_.checkpoint_buffer_mib > 0 ? std::int64_t{settings_.checkpoint_buffer_mib} << 20
                                                           : trainer.bytes() / 20;
    Checkpoints checkpoints(context.paths.checkpoints(), context.fingerprint, settings_.keep_checkpoints, ranks, aside);
    const auto first = checkpoints.read_newest(trainer, training_log);
    if (first > 0 && ranks.is_root()) log::info("train: goes on after step {} of {}", first, steps);
    if (first == 0 && rolls_back()) checkpoints.begin(0, trainer, training_log);  // so that there is one to go back to

    FeedOptions feed_options;
    feed_options.micro_batch = settings_.micro_batch;
    feed_options.max_length = std::min<std::int64_t>(settings_.max_length, parts->language.config.context);
    feed_options.threads = static_cast<std::size_t>(settings_.decode_threads);
    feed_options.feature_cache_bytes = settings_.shard_vision
                                           ? 0
                                           : std::int64_t{settings_.feature_cache_mib}
                                                 << 20;  // made on the way: the ranks pass a sharded tower together
    feed_options.rank = ranks.rank();
    feed_options.ranks = ranks.size();
    const auto features = [&](const torch::Tensor& pixels) { return trainer.features(pixels); };
    const auto feed_from = [&](std::int64_t step) {
        auto feed = feed_options;
        feed.steps = training_log.data_step(steps);
        return std::make_unique<SampleFeed>(samples, order, *parts, reader, features, feed,
                                            training_log.data_step(step));
    };
    auto feed = feed_from(first);
    std::optional<Validation> validation;
    if (!settings_.validation.empty()) validation.emplace(settings_, samples, *parts, reader, feed_options, ranks);
    StepGuard guard(guard_options(), training_log.rows());
    const FlopCount flops(*parts, options.train_language, options.train_projector);
    const double peak = settings_.peak_tflops > 0           ? settings_.peak_tflops
                        : options.dtype == torch::kBFloat16 ? peak_tflops(layers::card_name(options.device))
                                                            : 0;
    std::optional<EventFile> events;
    const auto begin_events = [&] {
        if (!settings_.tensorboard || !ranks.is_root()) return;
        events.emplace(begin_event_file(context.paths.root() / "tensorboard", training_log));
    };
    parallel::together(ranks, begin_events);
    const auto tell = [&](std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars) {
        if (!events) return;
        try {
            events->add(step, wall_time(), scalars);
        } catch (const StorageError& error) {  // of rank 0 alone, and no reason to end a training
            log::warn("train: {}; no more events for TensorBoard", error.what());
            events.reset();
        }
    };

    const auto is_validation_due = [&](std::int64_t done) {
        return validation && !training_log.is_validated(done) &&
               (done == 0 || done == steps ||
                (settings_.validation_steps > 0 && done % settings_.validation_steps == 0));
    };
    const auto validate = [&](std::int64_t done) {
        const auto row = validation->measure(done, trainer);
        training_log.add_validation(row);
        tell(done, {{"validation/loss", row.loss}});
        if (ranks.is_root())
            log::info("train: validation loss {:.4f} after {} steps ({} tokens)", row.loss, done, row.tokens);
    };
    // Back to the last checkpoint, and on behind the data that led here: the step we go back to takes what would have
    // followed `step`.
    const auto roll_back = [&](std::int64_t step, const StepResult& bad) {
        auto rows = training_log.roll_backs();
        const auto next_data = training_log.data_step(step) + 1;
        if (std::ssize(rows) >= settings_.max_roll_backs)
            throw parallel::AgreedFailure(ExitCode::input, 0,
                                          fmt::format("train: loss {} and gradient norm {} at step {}, after {} roll "
                                                      "backs; lower train.learning_rate, or raise train.max_roll_backs",
                                                      bad.loss, bad.gradient_norm, step, rows.size()));
        checkpoints.finish();  // it may be reading what is about to change
        const auto to = checkpoints.read_newest(trainer, training_log);
        rows.push_back({static_cast<double>(step), static_cast<double>(to), static_cast<double>(next_data)});
        training_log.set_roll_backs(std::move(rows));
        if (ranks.is_root())
            log::warn(
                "train: loss {:.4g} and gradient norm {:.4g} at step {}: back to step {}, which goes on with the data "
                "behind it",
                bad.loss, bad.gradient_norm, step, to);
        guard = StepGuard(guard_options(), training_log.rows());
        feed = feed_from(to);
        parallel::together(ranks, begin_events);
        return to;
    };

    FeedFigures left_out;  // of feeds that were given up
    Progress progress("train", static_cast<std::uint64_t>(steps), "steps", static_cast<std::uint64_t>(first));
    auto last_checkpoint = Clock::now();
    std::int64_t furthest = first;
    for (auto step = first; step < steps;) {
        if (is_validation_due(step)) validate(step);
        const auto start = Clock::now();
        const auto waited = feed->figures().waited_s;
        const auto rate = schedule.rate(step);
        auto verdict = StepVerdict::learn;
        StepSize size;
        const auto result = [&] {
            const CostPhase phase("step");
            std::vector<MicroBatch> batches;
            parallel::together(ranks, [&] { batches = feed->next(); });
            for (const auto& batch : batches) size.add(batch);
            return trainer.step(batches, rate, step, [&](const StepResult& seen) {
                return (verdict = guard.judge(seen.loss, seen.gradient_norm)) == StepVerdict::learn;
            });
        }();
        if (!result.finite) verdict = guard.judge(result.loss, result.gradient_norm);
        if (verdict == StepVerdict::stop)
            throw parallel::AgreedFailure(
                ExitCode::input, 0,
                fmt::format("train: loss {} and gradient norm {} at step {}; lower train.learning_rate, set "
                            "train.clip_norm, or train.{} = skip",
                            result.loss, result.gradient_norm, step, result.finite ? "on_spike" : "on_nan"));
        if (verdict == StepVerdict::roll_back) {
            add_up(left_out, feed->figures());
            step = roll_back(step, result);
            continue;
        }
        const auto seconds = seconds_since(start), data_wait = feed->figures().waited_s - waited;
        std::int64_t sums[] = {size.tokens, size.padded, size.supervised, size.picture_rows, size.squares};
        ranks.all_reduce_sum(std::span<std::int64_t>(sums));
        const double tflops = flops.of({sums[0], sums[1], sums[2], sums[3], sums[4]}) / seconds /
                              static_cast<double>(ranks.size()) * 1e-12;
        training_log.add(
            {.step = static_cast<double>(step),
             .epoch = static_cast<double>(training_log.data_step(step)) / static_cast<double>(order.steps_per_epoch()),
             .loss = result.loss,
             .lr = rate,
             .grad_norm = result.gradient_norm,
             .tokens = static_cast<double>(result.tokens),
             .supervised = static_cast<double>(result.supervised),
             .seconds = seconds,
             .tokens_per_s = static_cast<double>(result.tokens) / seconds,
             .data_wait_s = data_wait,
             .communication_s = result.communication.waited_s(),
             .gather_wait_s = result.communication.gather_wait_s,
             .reduce_wait_s = result.communication.reduce_wait_s,
             .compute_s = seconds - data_wait - result.communication.waited_s(),
             .sent_mib = static_cast<double>(result.communication.sent_bytes()) / (1 << 20),
             .memory_mib = resident_mib(),
             .padded_tokens_per_s = static_cast<double>(sums[1]) / seconds,
             .tflops = tflops,
             .mfu = peak > 0 ? tflops / peak : 0,
             .skipped = verdict == StepVerdict::skip ? 1.0 : 0.0});
        const auto& row = training_log.rows().back();
        guard.add(row);
        tell(step, tagged(row));
        if (step >= furthest) progress.add(), furthest = step + 1;
        progress.note(fmt::format("loss {:.3f}, {:.0f} tokens/s", result.loss, row.tokens_per_s));

        const auto done = ++step;
        const bool stop = ranks.any(stop_requested());
        const bool due = (settings_.checkpoint_steps > 0 && done % settings_.checkpoint_steps == 0) ||
                         ranks.any(ranks.is_root() && settings_.checkpoint_minutes > 0 &&
                                   seconds_since(last_checkpoint) > settings_.checkpoint_minutes * 60);
        checkpoints.poll();
        if (stop || (due && done < steps)) {
            checkpoints.begin(done, trainer, training_log);
            last_checkpoint = Clock::now();
        }
        if (stop) checkpoints.finish();
        if (stop && done < steps) throw parallel::AgreedFailure(ExitCode::requeue, 0, Stopped("train").what());
    }
    if (is_validation_due(steps)) validate(steps);
    progress.finish();

    add_up(left_out, feed->figures());
    const auto& figures = left_out;
    const auto skipped = std::count_if(training_log.rows().begin(), training_log.rows().end(),
                                       [](const LogRow& row) { return row.skipped != 0; });
    const auto failed = ranks.sum(static_cast<std::int64_t>(figures.failed)),
               cut = ranks.sum(static_cast<std::int64_t>(figures.cut));
    for (const auto& [reason, count] : figures.reasons) log::warn("train: {} samples left out: {}", count, reason);

    if (settings_.lora_rank > 0)
        export_adapters(*parts, trainer, lora_options(), ranks, context.paths.exported() / "adapter");
    if (settings_.lora_rank == 0 || settings_.lora_merge)
        export_model(*parts, trainer, ranks, context.paths.exported() / "model");
    parallel::together(ranks, [&] {
        if (!ranks.is_root()) return;
        storage::publish_hdf5(context.paths.file("training_log.h5"), [&](storage::Hdf5File& file) {
            training_log.write(file, "");
            file.set_attribute("samples", order.samples_per_epoch());
            file.set_attribute("samples_left_out", failed);
            file.set_attribute("samples_cut", cut);
            file.set_attribute("steps_skipped", skipped);
            file.set_attribute("peak_tflops", peak);
            file.set_attribute("ranks", ranks.size());
        });
        storage::publish_text(context.paths.file("training_log.csv"), training_log.csv());
    });
    checkpoints.remove_all();

    const auto& rows = training_log.rows();
    double tokens = 0, seconds = 0, mfu = 0;
    for (const auto& row : rows) tokens += row.tokens, seconds += row.seconds, mfu += row.mfu * row.seconds;
    context.figures = {{"steps", static_cast<double>(steps)},
                       {"samples", static_cast<double>(order.samples_per_epoch())},
                       {"samples_left_out", static_cast<double>(failed)},
                       {"samples_cut", static_cast<double>(cut)},
                       {"steps_skipped", static_cast<double>(skipped)},
                       {"roll_backs", static_cast<double>(training_log.roll_backs().size())}};
    if (!rows.empty()) {
        context.figures.emplace_back("loss_first", rows.front().loss);
        context.figures.emplace_back("loss_last", rows.back().loss);
        context.figures.emplace_back("tokens_per_s", tokens / std::max(seconds, 1e-9));
        if (peak > 0) context.figures.emplace_back("mfu", mfu / std::max(seconds, 1e-9));
        context.figures.emplace_back("memory_mib", ranks.max(rows.back().memory_mib));
    }
    if (const auto& held = training_log.validation(); !held.empty()) {
        context.figures.emplace_back("validation_first", held.front().loss);
        context.figures.emplace_back("validation_last", held.back().loss);
    }
}

}  // namespace

std::unique_ptr<run::Stage> make_train_stage(const TrainSettings& settings, const pool::PoolSettings& pool) {
    return std::make_unique<TrainStage>(settings, pool);
}

}  // namespace tg::training
