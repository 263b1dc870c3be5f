#include "taskgalaxy/training/train_stage.hpp"

#include <chrono>
#include <cmath>
#include <fstream>
#include <optional>

#include <c10/util/Logging.h>
#include <fmt/format.h>

#include "checkpoint.hpp"
#include "export_model.hpp"
#include "memory_plan.hpp"
#include "sample_feed.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/device.hpp"
#include "taskgalaxy/nn/model_folder.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/pool/preprocess.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "trainer.hpp"
#include "training_log.hpp"

namespace tg {

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

std::int64_t steps_of(const TrainSettings& settings, const StepOrder& order) {
    const auto by_epochs = static_cast<std::int64_t>(std::ceil(settings.epochs * static_cast<double>(order.steps_per_epoch())));
    return settings.max_steps > 0 ? settings.max_steps : by_epochs;
}

class TrainStage : public Stage {
public:
    TrainStage(const TrainSettings& settings, const PoolSettings& pool) : settings_(settings), pool_(pool) {}

    std::string_view name() const override { return "train"; }
    std::string_view purpose() const override { return "fine-tunes a vision-language model on the exported samples"; }
    std::vector<std::string> reads() const override {
        std::vector<std::string> files;
        if (settings_.data.empty()) files.push_back("export/train.json");
        if (settings_.image_root.empty()) files.push_back("pool.h5");
        return files;
    }
    std::vector<std::string> writes() const override { return {"training_log.h5", "export/model"}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        add_file_identity(inputs, settings_.model);
        for (const auto& source : read_sources(settings_.data)) add_file_identity(inputs, source.file);
    }

    void check() const override {
        if (settings_.model.empty()) throw UsageError("train.model is not set", "name the Hugging Face folder of the model to fine-tune");
        read_sources(settings_.data);
        const auto parts = VlmParts::describe(settings_.model);
        check_exportable(*parts);
        if (settings_.shard_vision && !parts->family.starts_with("internvl")) throw UsageError(fmt::format("train.shard_vision: the tower of a {} is kept whole on every rank", parts->family), "only InternViT is cut");
        if (settings_.style != "auto") conversation_style(settings_.style);
    }

    std::vector<PlanLine> plan(const RunPaths& paths) const override {
        const auto parts = VlmParts::describe(settings_.model);
        std::int64_t trained = 0;
        for (const auto* unit : parts->units()) trained += unit->elements();
        std::vector<PlanLine> lines{{"parameters that learn", static_cast<double>(trained), ""}};
        if (!settings_.data.empty() || fs::exists(exported_samples(paths))) {
            const auto solo = make_solo();
            const SampleSet samples(sources(paths), *solo);
            const auto order = step_order(samples);
            lines.push_back({"samples an epoch", static_cast<double>(order.samples_per_epoch()), "", fmt::format("{} with a picture in the files", samples.pictures())});
            lines.push_back({"steps", static_cast<double>(steps_of(settings_, order)), "", fmt::format("{} samples a step", settings_.global_batch)});
        }
        add_memory(lines, *parts);
        lines.push_back({"one checkpoint", static_cast<double>(trained) * 12 / (1 << 30), "GiB", fmt::format("{} are kept", settings_.keep_checkpoints)});
        return lines;
    }

    void run(StageContext& context) override;

private:
    static fs::path exported_samples(const RunPaths& paths) { return paths.exported() / "train.json"; }
    std::vector<SampleSource> sources(const RunPaths& paths) const { return settings_.data.empty() ? std::vector<SampleSource>{{exported_samples(paths)}} : read_sources(settings_.data); }
    StepOrder step_order(const SampleSet& samples) const {
        return StepOrder(samples, static_cast<std::uint64_t>(settings_.global_batch), static_cast<std::uint64_t>(settings_.seed), settings_.group_by == "modality");
    }
    TrainerOptions trainer_options() const;
    void add_memory(std::vector<PlanLine>& lines, VlmParts& parts) const;
    void train(StageContext& context);
    PictureReader picture_reader(const VlmParts& parts, const RunPaths& paths, const SampleSet& samples);

    TrainSettings settings_;
    PoolSettings pool_;
    std::optional<Pool> opened_pool_;
};

TrainerOptions TrainStage::trainer_options() const {
    TrainerOptions options;
    options.device = choose_device(settings_.device);
    options.dtype = settings_.precision == "bf16" ? torch::kBFloat16 : torch::kFloat32;
    options.sharding = settings_.sharding == "full" ? Sharding::full : settings_.sharding == "hybrid" ? Sharding::hybrid : Sharding::optimizer;
    options.shard_ranks = settings_.shard_ranks;
    options.shard_vision = settings_.shard_vision;
    options.activation_checkpointing = settings_.activation_checkpointing;
    options.loss_chunk = settings_.loss_chunk;
    options.train_projector = settings_.train_parts != "language";
    options.train_language = settings_.train_parts != "projector";
    options.adam = {settings_.beta1, settings_.beta2, settings_.epsilon, settings_.weight_decay};
    options.clip_norm = settings_.clip_norm;
    if (settings_.projector_learning_rate > 0 && settings_.learning_rate > 0) options.projector_rate = settings_.projector_learning_rate / settings_.learning_rate;
    return options;
}

// Ranks that this process was started with, in all and on its node, as the launchers say it.
std::int64_t launched(std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (const char* value = std::getenv(name)) return std::max(1, std::atoi(value));
    return 1;
}

void TrainStage::add_memory(std::vector<PlanLine>& lines, VlmParts& parts) const {
    const auto options = trainer_options();
    const auto ranks = settings_.plan_ranks > 0 ? settings_.plan_ranks : launched({"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "PMI_SIZE"});
    const auto on_node = std::min<std::int64_t>(ranks, settings_.plan_ranks > 0 && !options.device.is_cpu() ? torch::cuda::device_count() : launched({"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE", "MPI_LOCALNRANKS"}));
    auto question = memory_question(parts, options, options.sharding != Sharding::hybrid ? ranks : options.shard_ranks > 0 ? options.shard_ranks : on_node);
    question.tokens = std::int64_t{settings_.micro_batch} * std::min<std::int64_t>(settings_.max_length, parts.language.config.context);
    if (parts.vision) {
        const auto rule = parts.picture_recipe(settings_.pad_images).rule;
        question.tiles = std::int64_t{settings_.micro_batch} * (rule.max_tiles + (rule.thumbnail ? 1 : 0));
    }
    const auto memory = memory_plan(question);
    const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
    const auto program = static_cast<std::int64_t>(resident_mib() * (1 << 20)), cache = parts.vision ? std::int64_t{settings_.feature_cache_mib} << 20 : 0;
    const auto here = memory_of(options.device, on_node), needed = memory.peak + (options.device.is_cpu() ? program + cache : cache);
    const auto add = [&](const char* what, std::int64_t bytes, std::string note = {}) { lines.push_back({what, gib(bytes), "GiB", std::move(note)}); };
    add("memory a rank: weights", memory.weights, fmt::format("{} ranks, sharding = {}", ranks, settings_.sharding));
    add("memory a rank: gradients", memory.gradients);
    add("memory a rank: masters and moments", memory.optimizer);
    add("memory a rank: vision tower", memory.tower);
    add("memory a rank: activations", memory.activations, fmt::format("{} positions at once; train.micro_batch and activation_checkpointing change it", question.tokens));
    add("memory a rank: gathered units", memory.gathered);
    add("memory a rank: logits", memory.logits, fmt::format("{} rows at once", settings_.loss_chunk));
    add("memory a rank: most at once", needed, here == 0 ? "" : needed <= here ? fmt::format("fits: a rank has {:.1f} GiB here", gib(here)) : fmt::format("does not fit: a rank has {:.1f} GiB here", gib(here)));
}

PictureReader TrainStage::picture_reader(const VlmParts& parts, const RunPaths& paths, const SampleSet& samples) {
    if (!parts.vision) {
        if (samples.pictures() > 0) throw InputError(fmt::format("{} samples have a picture, but {} is a {} without a vision tower", samples.pictures(), parts.folder.string(), parts.family), "train a vision-language model, or text alone");
        return {};
    }
    const auto recipe = parts.picture_recipe(settings_.pad_images);
    const auto tiles_of = [recipe](std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& image) {
        try {
            const auto pixels = decode_to_tiles(bytes, options, recipe);
            const auto tiles = static_cast<std::int64_t>(pixels.size() / recipe.tile.values());
            return torch::tensor(torch::ArrayRef<float>(pixels)).view({tiles, 3, recipe.tile.size, recipe.tile.size});
        } catch (const UnreadableImage& error) {
            throw InputError(fmt::format("{}: {}", image, error.what()));
        }
    };
    if (!settings_.image_root.empty())
        return [tiles_of, root = settings_.image_root, options = pool_.decode_options()](const std::string& image) {
            const auto bytes = read_text_file(root / image);
            return tiles_of(std::as_bytes(std::span(bytes)), options, image);
        };
    opened_pool_.emplace(paths.file("pool.h5"), pool_);
    return [tiles_of, &pool = *opened_pool_](const std::string& image) {
        const auto row = pool.find(image);
        if (!row) throw InputError(fmt::format("{} is not in the pool", image));
        return tiles_of(pool.read(*row), pool.decode_options(), image);
    };
}

// A failure for want of memory, in the words of whoever met it, gets the setting that helps; others pass.
void TrainStage::run(StageContext& context) {
    const auto lack = [](std::string_view what) { return what.find("allocate memory") != what.npos || what.find("out of memory") != what.npos || what.find("bad_alloc") != what.npos; };
    const auto advice = [&] {
        std::vector<std::string> knobs;
        if (settings_.micro_batch > 1) knobs.push_back(fmt::format("train.micro_batch = {}", settings_.micro_batch / 2));
        if (!settings_.activation_checkpointing) knobs.push_back("train.activation_checkpointing = yes");
        if (settings_.sharding == "optimizer") knobs.push_back("train.sharding = full");
        knobs.push_back("more ranks");
        return fmt::format("what helps, the cheapest first: {}; the command plan says how much each takes", fmt::join(knobs, ", "));
    };
    FLAGS_caffe2_use_fatal_for_enforce = false;  // libtorch shall throw where it finds no memory, not end the process
    try {
        train(context);
    } catch (const AgreedFailure& failure) {
        if (!lack(failure.what())) throw;
        throw AgreedFailure(ExitCode::input, failure.failed_rank(), fmt::format("train: out of memory ({}); {}", excerpt(failure.what(), 160), advice()));
    } catch (const Error&) {
        throw;
    } catch (const std::exception& failure) {
        if (!lack(failure.what())) throw;
        throw InputError(fmt::format("train: out of memory ({})", excerpt(failure.what(), 160)), advice());
    }
}

// Where a run may be after a restart: the loop goes from `first` to `steps`.
void TrainStage::train(StageContext& context) {
    const auto& ranks = context.ranks;
    std::unique_ptr<VlmParts> parts;
    std::vector<SampleSource> data;
    PictureReader reader;
    TrainerOptions options;
    together(ranks, [&] {
        at::set_num_threads(static_cast<int>(usable_cores()));
        options = trainer_options();
        parts = VlmParts::describe(settings_.model);
        if (settings_.style != "auto") parts->style = &conversation_style(settings_.style);
        data = sources(context.paths);
    });
    const SampleSet samples(std::move(data), ranks);
    together(ranks, [&] { reader = picture_reader(*parts, context.paths, samples); });
    Trainer trainer(*parts, ranks, options);
    const auto order = step_order(samples);
    const auto steps = steps_of(settings_, order);
    const Schedule schedule{settings_.learning_rate, settings_.warmup_ratio, steps, settings_.schedule == "cosine"};

    TrainingLog training_log;
    const auto aside = settings_.checkpoint_buffer_mib > 0 ? std::int64_t{settings_.checkpoint_buffer_mib} << 20 : trainer.bytes() / 20;
    Checkpoints checkpoints(context.paths.checkpoints(), context.fingerprint, settings_.keep_checkpoints, ranks, aside);
    const auto first = checkpoints.read_newest(trainer, training_log);
    if (first > 0 && ranks.is_root()) log::info("train: goes on after step {} of {}", first, steps);

    FeedOptions feed_options;
    feed_options.micro_batch = settings_.micro_batch;
    feed_options.max_length = std::min<std::int64_t>(settings_.max_length, parts->language.config.context);
    feed_options.steps = steps;
    feed_options.threads = static_cast<std::size_t>(settings_.decode_threads);
    feed_options.feature_cache_bytes = settings_.shard_vision ? 0 : std::int64_t{settings_.feature_cache_mib} << 20;  // made on the way: the ranks pass a sharded tower together
    feed_options.rank = ranks.rank();
    feed_options.ranks = ranks.size();
    SampleFeed feed(samples, order, *parts, reader, [&](const torch::Tensor& pixels) { return trainer.features(pixels); }, feed_options, first);

    Progress progress("train", static_cast<std::uint64_t>(steps), "steps", static_cast<std::uint64_t>(first));
    auto last_checkpoint = Clock::now();
    std::int64_t skipped = 0;
    for (auto step = first; step < steps; ++step) {
        const auto start = Clock::now();
        const auto waited = feed.figures().waited_s;
        const auto rate = schedule.rate(step);
        const auto result = [&] {
            const CostPhase phase("step");
            std::vector<MicroBatch> batches;
            together(ranks, [&] { batches = feed.next(); });
            return trainer.step(batches, rate, step);
        }();
        if (!result.finite) {
            if (settings_.on_nan == "stop")
                throw AgreedFailure(ExitCode::input, 0, fmt::format("train: loss {} and gradient norm {} at step {}; lower train.learning_rate, set train.clip_norm, or train.on_nan = skip", result.loss, result.gradient_norm, step));
            ++skipped;
        }
        const auto seconds = seconds_since(start), data_wait = feed.figures().waited_s - waited;
        training_log.add({static_cast<double>(step), static_cast<double>(step) / static_cast<double>(order.steps_per_epoch()), result.loss, rate, result.gradient_norm, static_cast<double>(result.tokens),
                          static_cast<double>(result.supervised), seconds, static_cast<double>(result.tokens) / seconds, data_wait, result.communication.waited_s(), result.communication.gather_wait_s, result.communication.reduce_wait_s,
                          seconds - data_wait - result.communication.waited_s(), static_cast<double>(result.communication.sent_bytes()) / (1 << 20), resident_mib()});
        progress.add();
        progress.note(fmt::format("loss {:.3f}, {:.0f} tokens/s", result.loss, static_cast<double>(result.tokens) / seconds));

        const auto done = step + 1;
        const bool stop = ranks.any(stop_requested());
        const bool due = (settings_.checkpoint_steps > 0 && done % settings_.checkpoint_steps == 0) ||
                         ranks.any(ranks.is_root() && settings_.checkpoint_minutes > 0 && seconds_since(last_checkpoint) > settings_.checkpoint_minutes * 60);
        checkpoints.poll();
        if (stop || (due && done < steps)) {
            checkpoints.begin(done, trainer, training_log);
            last_checkpoint = Clock::now();
        }
        if (stop) checkpoints.finish();
        if (stop && done < steps) throw AgreedFailure(ExitCode::requeue, 0, Stopped("train").what());
    }
    progress.finish();

    const auto& figures = feed.figures();
    const auto failed = ranks.sum(static_cast<std::int64_t>(figures.failed)), cut = ranks.sum(static_cast<std::int64_t>(figures.cut));
    for (const auto& [reason, count] : figures.reasons) log::warn("train: {} samples left out: {}", count, reason);

    export_model(*parts, trainer, ranks, context.paths.exported() / "model");
    together(ranks, [&] {
        if (!ranks.is_root()) return;
        publish_hdf5(context.paths.file("training_log.h5"), [&](Hdf5File& file) {
            training_log.write(file, "");
            file.set_attribute("samples", order.samples_per_epoch());
            file.set_attribute("samples_left_out", failed);
            file.set_attribute("samples_cut", cut);
            file.set_attribute("steps_skipped", skipped);
            file.set_attribute("ranks", ranks.size());
        });
        publish_text(context.paths.file("training_log.csv"), training_log.csv());
    });
    checkpoints.remove_all();

    const auto& rows = training_log.rows();
    double tokens = 0, seconds = 0;
    for (const auto& row : rows) tokens += row.tokens, seconds += row.seconds;
    context.figures = {{"steps", static_cast<double>(steps)}, {"samples", static_cast<double>(order.samples_per_epoch())}, {"samples_left_out", static_cast<double>(failed)}, {"samples_cut", static_cast<double>(cut)},
                       {"steps_skipped", static_cast<double>(skipped)}};
    if (!rows.empty()) {
        context.figures.emplace_back("loss_first", rows.front().loss);
        context.figures.emplace_back("loss_last", rows.back().loss);
        context.figures.emplace_back("tokens_per_s", tokens / std::max(seconds, 1e-9));
        context.figures.emplace_back("memory_mib", ranks.max(rows.back().memory_mib));
    }
}

}  // namespace

std::unique_ptr<Stage> make_train_stage(const TrainSettings& settings, const PoolSettings& pool) { return std::make_unique<TrainStage>(settings, pool); }

}  // namespace tg
