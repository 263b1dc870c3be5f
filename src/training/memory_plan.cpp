#include "memory_plan.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <unistd.h>

#ifdef TASKGALAXY_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include "taskgalaxy/nn/layers/device.hpp"
#include "train_options.hpp"

namespace tg::training {

namespace {

struct Launch {
    std::int64_t ranks = 1, on_node = 1;
};

// Ranks that this process was started with, as the launchers say it.
std::int64_t launched(std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (const char* value = std::getenv(name)) return std::max(1, std::atoi(value));
    return 1;
}

Launch launch_of(const TrainSettings& settings, const torch::Device& device) {
    Launch launch;
    launch.ranks =
        settings.plan_ranks > 0 ? settings.plan_ranks : launched({"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "PMI_SIZE"});
    launch.on_node = std::min<std::int64_t>(
        launch.ranks, settings.plan_ranks > 0 && !device.is_cpu()
                          ? torch::cuda::device_count()
                          : launched({"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE", "MPI_LOCALNRANKS"}));
    return launch;
}

MemoryQuestion memory_question(const TrainSettings& settings, models::VlmParts& parts, const TrainerOptions& options,
                               const Launch& launch) {
    auto q = memory_question(parts, options,
                             options.sharding != Sharding::hybrid ? launch.ranks
                             : options.shard_ranks > 0            ? options.shard_ranks
                                                                  : launch.on_node);
    q.tokens =
        std::int64_t{settings.micro_batch} * std::min<std::int64_t>(settings.max_length, parts.language.config.context);
    if (parts.vision) {
        const auto rule = picture_recipe(settings, parts).rule;
        q.tiles = std::int64_t{settings.micro_batch} * (rule.max_tiles + (rule.thumbnail ? 1 : 0));
    }
    return q;
}

double gib(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

std::string whether_it_fits(std::int64_t needed, std::int64_t here) {
    if (here == 0) return {};
    return fmt::format("{}: a rank has {:.1f} GiB here", needed <= here ? "fits" : "does not fit", gib(here));
}

}  // namespace

MemoryQuestion memory_question(const models::LanguageConfig& config, std::int64_t projector_elements) {
    const models::LanguageModel shapes(config, "");
    MemoryQuestion q;
    q.language = config;
    q.projector = projector_elements;
    q.embeddings = shapes.embeddings.elements();
    q.layer = shapes.layers.empty() ? 0 : shapes.layers.front().unit().elements();
    q.head = shapes.head.elements();
    return q;
}

MemoryQuestion memory_question(models::VlmParts& parts, const TrainerOptions& options, std::int64_t shards) {
    auto q = memory_question(parts.language.config, parts.projector ? parts.projector->unit().elements() : 0);
    if (parts.vision) {
        // Of one folder: all that is in no unit; blocks behind the layer that is used are counted, as small as they
        // are.
        for (const auto& [name, info] : (parts.vision_files ? *parts.vision_files : parts.files).tensors())
            q.tower += static_cast<std::int64_t>(info.elements());
        if (!parts.vision_files)
            for (const auto* unit : parts.units()) q.tower -= unit->elements();
        q.tower_positions = parts.vision->positions;
        q.tower_channels = parts.vision->channels;
        q.image_values = std::int64_t{3} * parts.vision->image_size * parts.vision->image_size;
    }
    q.train_projector = options.train_projector;
    q.train_language = options.train_language && !parts.language.has_adapters();
    if (parts.language.has_adapters()) q.adapters = parts.language.layers.front().adapters()->elements();
    q.moments = options.moments;
    q.host_apart = !options.device.is_cpu();
    q.activation_checkpointing = options.activation_checkpointing;
    q.shard_tower = options.shard_vision;
    q.width = options.dtype == torch::kBFloat16 ? 2 : 4;
    q.tower_width = layers::has_fast_bf16(options.device) ? q.width : 4;
    q.shards = shards;
    q.sharding = options.sharding;
    q.loss_chunk = options.loss_chunk;
    return q;
}

MemoryPlan memory_plan(const MemoryQuestion& q) {
    const auto& c = q.language;
    const auto S = q.shards, w = std::int64_t{q.width}, T = q.tokens, H = c.hidden, F = c.intermediate,
               R = c.qkv_rows(), A = c.heads * c.head_dim;
    const bool whole = q.sharding == Sharding::optimizer || S == 1;
    MemoryPlan plan;

    const auto unit = [&](std::int64_t elements, bool trained, std::int64_t times, bool is_whole) {
        const auto slice = slice_elements(elements, S);
        if (trained) plan.optimizer += times * (4 * slice + Moments::bytes_of(slice, q.moments, q.host_apart));
        const bool masters_serve = trained && w == 4 && (!is_whole || S == 1);
        if (!masters_serve) plan.weights += times * (is_whole ? slice * S : slice) * w;
        if (trained) plan.gradients += times * 4 * (slice + (is_whole && S > 1 ? slice * S : 0));
    };
    unit(q.projector, q.train_projector, 1, whole);
    unit(q.embeddings, q.train_language, 1, whole);
    unit(q.layer, q.train_language, c.layers, whole);
    unit(q.head, q.train_language, 1, whole);
    if (q.adapters > 0) unit(q.adapters, true, c.layers, true);
    plan.tower = (q.shard_tower ? slice_elements(q.tower, S) : q.tower) * q.tower_width;

    // Of a layer: what its backward needs beside its input, then what the two ways hold at their widest.
    const auto kept = T * ((3 * H + R + A + 2 * F) * w + 4 * (c.heads + 2));
    const auto forward = T * (4 * H + R + A + 3 * F) * w;
    const auto backward = T * std::max(2 * H + 4 * F, 5 * H + 2 * F + 2 * A + 2 * R) * w;
    const auto stored = c.layers * (T * H * w + (q.activation_checkpointing ? 0 : kept));
    const auto rows = std::min(T, q.loss_chunk);
    plan.logits = rows * c.vocabulary * (w == 4 ? 4 : 4 + w) + (2 * T + 4 * rows) * H * w;

    // Whole units that a rank has none of between steps.
    const auto padded = [&](std::int64_t elements) { return slice_elements(elements, S) * S; };
    const auto values = [&](std::int64_t elements) { return whole ? 0 : padded(elements) * w; };
    const auto sums = [&](std::int64_t elements) {
        return whole || !q.train_language ? 0 : padded(elements) * 4 + slice_elements(elements, S) * 4;
    };
    const auto tied = c.tied_embeddings ? values(q.embeddings) + sums(q.embeddings) : 0;
    const auto in_forward = tied + 2 * values(q.layer);
    const auto in_head = tied + values(q.head) + sums(q.head) + values(q.layer);
    const auto first_layer_back = tied + 2 * values(q.layer) + sums(q.layer) + sums(q.head);
    const auto in_backward = tied + 2 * (values(q.layer) + sums(q.layer));
    const auto in_table = c.tied_embeddings ? tied : sums(q.embeddings) + sums(q.projector);
    plan.gathered = std::max({in_forward, in_head, first_layer_back, in_backward, in_table});

    const auto tower_work = q.tiles * (q.image_values * 8 + q.tower_positions * q.tower_channels * 9 * q.tower_width);
    const auto layer_back = (q.activation_checkpointing ? kept : 0) + backward;
    plan.activations = stored + std::max(forward, layer_back);
    const auto moments = {
        tower_work + values(q.embeddings) + values(q.projector),
        stored + forward + in_forward,
        stored + plan.logits + in_head,
        stored + layer_back + std::max(first_layer_back, in_backward),
        T * 2 * H * w + in_table,
    };
    plan.peak = plan.state() + plan.tower + std::max(moments);
    return plan;
}

std::vector<run::PlanLine> memory_lines(const TrainSettings& settings, models::VlmParts& parts) {
    const auto options = trainer_options(settings);
    const auto launch = launch_of(settings, options.device);
    const auto question = memory_question(settings, parts, options, launch);
    const auto memory = memory_plan(question);
    const auto program = static_cast<std::int64_t>(resident_mib() * (1 << 20)),
               cache = parts.vision ? std::int64_t{settings.feature_cache_mib} << 20 : 0;
    const auto needed = memory.peak + (options.device.is_cpu() ? program + cache : cache);
    const auto line = [](const char* what, std::int64_t bytes, std::string note = {}) {
        return run::PlanLine{what, gib(bytes), "GiB", std::move(note)};
    };
    return {
        line("memory a rank: weights", memory.weights,
             fmt::format("{} ranks, sharding = {}", launch.ranks, word_of(sharding_words(), settings.sharding))),
        line("memory a rank: gradients", memory.gradients),
        line("memory a rank: masters and moments", memory.optimizer),
        line("memory a rank: vision tower", memory.tower),
        line("memory a rank: activations", memory.activations,
             fmt::format("{} positions at once; train.micro_batch and activation_checkpointing change it",
                         question.tokens)),
        line("memory a rank: gathered units", memory.gathered),
        line("memory a rank: logits", memory.logits, fmt::format("{} rows at once", settings.loss_chunk)),
        line("memory a rank: most at once", needed, whether_it_fits(needed, memory_of(options.device, launch.on_node))),
    };
}

std::int64_t memory_of(const torch::Device& device, std::int64_t ranks_on_node) {
#ifdef TASKGALAXY_WITH_CUDA
    if (std::size_t free = 0, total = 0; device.is_cuda() && cudaMemGetInfo(&free, &total) == cudaSuccess)
        return static_cast<std::int64_t>(total);
#endif
    if (!device.is_cpu()) return 0;
    return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) /
           std::max<std::int64_t>(1, ranks_on_node);
}

double resident_mib() {
    std::ifstream status("/proc/self/statm");
    std::uint64_t size = 0, resident = 0;
    status >> size >> resident;
    return static_cast<double>(resident) * 4096 / (1 << 20);
}

}  // namespace tg::training
