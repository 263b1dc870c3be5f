#include "taskgalaxy/training/train_stage.hpp"

#include <memory>

#include <c10/util/Logging.h>
#include <fmt/format.h>

#include "memory_plan.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "train_options.hpp"
#include "training_run.hpp"
#include "validation.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

// libtorch, the allocator and CUDA have no common type for it.
bool is_lack_of_memory(std::string_view what) {
    return what.find("allocate memory") != what.npos || what.find("out of memory") != what.npos ||
           what.find("bad_alloc") != what.npos;
}

std::string memory_advice(const TrainSettings& settings) {
    std::vector<std::string> knobs;
    if (settings.micro_batch > 1) knobs.push_back(fmt::format("train.micro_batch = {}", settings.micro_batch / 2));
    if (!settings.activation_checkpointing) knobs.push_back("train.activation_checkpointing = yes");
    if (settings.sharding == Sharding::optimizer) knobs.push_back("train.sharding = full");
    knobs.push_back("more ranks");
    return fmt::format("what helps, the cheapest first: {}; the command plan says how much each takes",
                       fmt::join(knobs, ", "));
}

class TrainStage : public run::Stage {
public:
    TrainStage(const TrainSettings& settings, const pool::PoolSettings& pool) : settings_(settings), pool_(pool) {}

    std::string_view name() const override { return "train"; }
    std::string_view purpose() const override { return "fine-tunes a vision-language model on the exported samples"; }
    std::vector<std::string> reads() const override {
        std::vector<std::string> files;
        if (settings_.data.empty()) files.push_back("export/train.json");
        if (settings_.image_root.empty()) files.push_back(run::files::pool);
        return files;
    }
    std::vector<std::string> writes() const override {
        std::vector<std::string> files{run::files::training_log};
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
        if (settings_.lora_rank > 0 && settings_.train_parts == TrainParts::projector)
            throw UsageError(
                "train.lora_rank gives adapters to the language model, and train.train_parts = projector freezes it",
                "choose one");
        if (settings_.lora_rank == 0 && !settings_.lora_targets.empty())
            throw UsageError("train.lora_targets is set without train.lora_rank",
                             "set train.lora_rank, 128 for example");
        if (settings_.shard_vision && !(parts->vision && parts->vision->can_be_sharded()))
            throw UsageError(
                fmt::format("train.shard_vision: the tower of a {} is kept whole on every rank", parts->family),
                "only InternViT is cut");
        if (settings_.style != "auto") text::conversation_style(settings_.style);
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override {
        const auto parts = describe_model(settings_);
        std::int64_t trained = 0;
        for (const auto* unit : trained_units(settings_, *parts)) trained += unit->elements();
        std::vector<run::PlanLine> lines{{"parameters that learn", static_cast<double>(trained), ""}};
        if (!settings_.data.empty() || fs::exists(exported_samples(paths))) {
            const auto solo = parallel::make_solo();
            const SampleSet samples(sources(paths), *solo);
            const auto order = step_order(settings_, samples);
            lines.push_back({"samples an epoch", static_cast<double>(order.samples_per_epoch()), "",
                             fmt::format("{} with a picture in the files", samples.pictures())});
            lines.push_back({"steps", static_cast<double>(steps_of(settings_, order)), "",
                             fmt::format("{} samples a step", settings_.global_batch)});
        }
        for (auto& line : memory_lines(settings_, *parts)) lines.push_back(std::move(line));
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
    PictureReader picture_reader(const models::VlmParts& parts, const run::Paths& paths,
                                 const SampleSet& samples) const;
    run::Figures train(const run::StageContext& context) const;

    TrainSettings settings_;
    pool::PoolSettings pool_;
};

PictureReader TrainStage::picture_reader(const models::VlmParts& parts, const run::Paths& paths,
                                         const SampleSet& samples) const {
    if (!parts.vision) {
        if (samples.pictures() > 0)
            throw InputError(fmt::format("{} samples have a picture, but {} is a {} without a vision tower",
                                         samples.pictures(), parts.folder.string(), parts.family),
                             "train a vision-language model, or text alone");
        return {};
    }
    const auto recipe = picture_recipe(settings_, parts);
    if (!settings_.image_root.empty())
        return [recipe, root = settings_.image_root, options = pool_.decode_options()](const std::string& image) {
            const auto bytes = read_text_file(root / image);
            return models::picture_tiles(std::as_bytes(std::span(bytes)), image, recipe, options);
        };
    return
        [recipe, pool = std::make_shared<pool::Pool>(paths.file(run::files::pool), pool_)](const std::string& image) {
            const auto row = pool->find(image);
            if (!row) throw InputError(fmt::format("{} is not in the pool", image));
            return models::picture_tiles(pool->read(*row), image, recipe, pool->decode_options());
        };
}

run::Figures TrainStage::train(const run::StageContext& context) const {
    const auto& ranks = context.ranks;
    std::unique_ptr<models::VlmParts> parts;
    std::vector<SampleSource> data;
    PictureReader reader;
    TrainerOptions options;
    parallel::together(ranks, [&] {
        at::set_num_threads(static_cast<int>(usable_cores()));
        options = trainer_options(settings_);
        parts = describe_model(settings_);
        data = sources(context.paths);
    });
    const SampleSet samples(std::move(data), ranks);
    parallel::together(ranks, [&] { reader = picture_reader(*parts, context.paths, samples); });
    TrainingRun training(settings_, options, *parts, samples, reader, ranks, context.paths, context.fingerprint);
    while (training.next_step() < training.steps()) training.step();
    return training.finish();
}

// A failure for want of memory, in the words of whoever met it, gets the setting that helps; others pass.
void TrainStage::run(run::StageContext& context) {
    FLAGS_caffe2_use_fatal_for_enforce = false;  // libtorch shall throw where it finds no memory, not end the process
    try {
        context.figures = train(context);
    } catch (const parallel::AgreedFailure& failure) {
        if (!is_lack_of_memory(failure.what())) throw;
        throw parallel::AgreedFailure(
            ExitCode::input, failure.failed_rank(),
            fmt::format("train: out of memory ({}); {}", excerpt(failure.what(), 160), memory_advice(settings_)));
    } catch (const Error&) {
        throw;
    } catch (const std::exception& failure) {
        if (!is_lack_of_memory(failure.what())) throw;
        throw InputError(fmt::format("train: out of memory ({})", excerpt(failure.what(), 160)),
                         memory_advice(settings_));
    }
}

}  // namespace

std::unique_ptr<run::Stage> make_train_stage(const TrainSettings& settings, const pool::PoolSettings& pool) {
    return std::make_unique<TrainStage>(settings, pool);
}

}  // namespace tg::training
