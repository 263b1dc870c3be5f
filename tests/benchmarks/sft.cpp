// Fine-tuning steps and greedy answers of a language model on random tokens, for tests/benchmarks/sft.py, fsdp.py and
// checkpoint.py.
//   bench_sft train  FOLDER BATCH LENGTH STEPS fp32|bf16 THREADS [optimizer|full|hybrid [CHECKPOINTS]]  -> tokens a
//   second of the steps
//     behind the first, loss of each step; under mpirun BATCH is over all ranks; CHECKPOINTS: a folder, one is written
//     behind every second step
//   bench_sft write  ... as train, with CHECKPOINTS: STEPS checkpoints and no step
//   bench_sft answer FOLDER PROMPTS LENGTH NEW BATCH fp32|bf16 THREADS -> answers a second
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "checkpoint.hpp"
#include "memory_plan.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/nn/generation/generate.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "taskgalaxy/parallel/session.hpp"
#include "trainer.hpp"

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double peak_mib() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmHWM:") {
            double kib = 0;
            status >> kib;
            return kib / 1024;
        }
    return 0;
}

torch::Dtype dtype(const std::string& name) { return name == "bf16" ? torch::kBFloat16 : torch::kFloat32; }

// The ids that sft.py gives transformers: (7 * row + 13 * column + row * column) % (vocabulary - 8) + 4.
std::int64_t id_at(std::int64_t row, std::int64_t column, std::int64_t vocabulary) {
    return (7 * row + 13 * column + row * column) % (vocabulary - 8) + 4;
}

int train(int words, char** a, bool only_write) {
    const tg::parallel::Session session(words, a);
    const auto& ranks = session.world();
    const auto parts = tg::models::VlmParts::describe(a[0]);
    const auto batch = std::stoll(a[1]), length = std::stoll(a[2]), steps = std::stoll(a[3]);
    at::set_num_threads(std::stoi(a[5]));
    tg::training::TrainerOptions options;
    options.dtype = dtype(a[4]);
    const std::string sharding = words > 6 ? a[6] : "optimizer", checkpoints_folder = words > 7 ? a[7] : "";
    options.sharding = sharding == "full"     ? tg::training::Sharding::full
                       : sharding == "hybrid" ? tg::training::Sharding::hybrid
                                              : tg::training::Sharding::optimizer;
    const auto program_mib = peak_mib();  // before the model is there
    tg::training::Trainer trainer(*parts, ranks, options);
    const auto mine =
        tg::parallel::slice_of(static_cast<std::uint64_t>(batch), static_cast<std::uint64_t>(ranks.rank()),
                               static_cast<std::uint64_t>(ranks.size()));
    std::vector<tg::training::EncodedSample> samples(mine.size());
    std::vector<const tg::training::EncodedSample*> rows;
    for (auto& sample : samples) {
        const auto row = static_cast<std::int64_t>(mine.begin + rows.size());
        for (std::int64_t c = 0; c < length; ++c)
            sample.ids.push_back(id_at(row, c, parts->language.config.vocabulary));
        sample.labels.assign(sample.ids.begin() + 1, sample.ids.end());
        sample.labels.push_back(tg::text::ignored_label);
        rows.push_back(&sample);
    }
    const std::vector<tg::training::MicroBatch> batches{tg::training::pack(rows)};
    const auto say = [&](const char* name, double value) {
        if (ranks.is_root()) std::printf("%s %.6f\n", name, value);
    };
    tg::training::Checkpoints checkpoints(checkpoints_folder, "bench", 2, ranks, trainer.bytes() / 20);
    const tg::training::TrainingLog log;
    auto question = tg::training::memory_question(*parts, options, trainer.collectives().shards());
    question.tokens = static_cast<std::int64_t>(mine.size()) * length;
    if (only_write) {  // the fastest of so many, with nothing else to do
        double best = 0;
        for (std::int64_t round = 0; round < steps; ++round) {
            const auto at = seconds();
            checkpoints.write(round + 1, trainer, log);
            best = round == 0 ? seconds() - at : std::min(best, seconds() - at);
        }
        std::int64_t bytes = 0;
        for (const auto& unit : trainer.units()) bytes += 12 * unit->elements();
        say("checkpoint_s", best);
        say("checkpoint_mib", static_cast<double>(bytes) / (1 << 20));
        return 0;
    }
    say("planned_mib", program_mib + static_cast<double>(tg::training::memory_plan(question).peak) / (1 << 20));
    const auto begin_checkpoint = [&](std::int64_t step) {
        say("peak_calm_mib", ranks.max(peak_mib()));
        checkpoints.begin(step, trainer, log);
    };
    double start = 0, began = 0, calm = 0, busy = 0;
    tg::training::Collectives::Figures waits;
    for (std::int64_t step = 0; step < steps; ++step) {
        if (step == 1) start = seconds();
        const auto at = seconds();
        const auto result = trainer.step(batches, 1e-4, step);
        const auto took = seconds() - at;
        say("loss", result.loss);
        if (step == 0) continue;
        waits.gather_wait_s += result.communication.gather_wait_s,
            waits.reduce_wait_s += result.communication.reduce_wait_s,
            waits.sum_wait_s += result.communication.sum_wait_s;
        if (checkpoints_folder.empty()) continue;
        // Steps in turn: one without, one while a checkpoint is written.
        (step % 2 ? calm : busy) += took;
        if (step % 2) begin_checkpoint(step + 1), began = seconds();
        else checkpoints.finish(), say("checkpoint_s", seconds() - began);
    }
    const auto per_step = 1.0 / static_cast<double>(steps - 1);
    say("tokens_per_s", static_cast<double>(batch * length * (steps - 1)) / (seconds() - start));
    say("gather_wait_s", waits.gather_wait_s * per_step);
    say("reduce_wait_s", waits.reduce_wait_s * per_step);
    say("sum_wait_s", waits.sum_wait_s * per_step);
    if (!checkpoints_folder.empty()) say("calm_step_s", 2 * calm * per_step), say("busy_step_s", 2 * busy * per_step);
    say("peak_mib", ranks.max(peak_mib()));
    return 0;
}

int answer(char** a) {
    at::set_num_threads(std::stoi(a[6]));
    const auto model = tg::models::VisionLanguageModel::load(a[0], torch::kCPU, dtype(a[5]));
    const auto prompts = std::stoll(a[1]), length = std::stoll(a[2]);
    tg::generation::Options options;
    options.max_new_tokens = std::stoi(a[3]);
    options.batch = std::stoi(a[4]);
    std::vector<tg::generation::TokenPrompt> questions(static_cast<std::size_t>(prompts));
    for (std::int64_t p = 0; p < prompts; ++p)
        for (std::int64_t c = 0; c < length; ++c)
            questions[static_cast<std::size_t>(p)].ids.push_back(id_at(p, c, model.parts().language.config.vocabulary));
    tg::generation::answer_tokens(model.parts(), std::span(questions).subspan(0, 1), options);
    const auto start = seconds();
    const auto answers = tg::generation::answer_tokens(model.parts(), questions, options);
    std::size_t tokens = 0;
    for (const auto& ids : answers) tokens += ids.size();
    std::printf("answers_per_s %.2f\nnew_tokens %zu\npeak_mib %.0f\n",
                static_cast<double>(prompts) / (seconds() - start), tokens, peak_mib());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc >= 8 && argc <= 10 && std::string(argv[1]) == "train") return train(argc - 2, argv + 2, false);
    if (argc == 10 && std::string(argv[1]) == "write") return train(argc - 2, argv + 2, true);
    if (argc == 9 && std::string(argv[1]) == "answer") return answer(argv + 2);
    std::fprintf(stderr,
                 "usage: bench_sft train|write FOLDER BATCH LENGTH STEPS fp32|bf16 THREADS [optimizer|full|hybrid "
                 "[CHECKPOINTS]]\n       bench_sft answer FOLDER PROMPTS LENGTH NEW BATCH fp32|bf16 THREADS\n");
    return 2;
}
