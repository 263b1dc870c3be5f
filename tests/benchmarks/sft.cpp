// Fine-tuning steps and greedy answers of a language model on random tokens, for tests/benchmarks/sft.py.
//   bench_sft train  FOLDER BATCH LENGTH STEPS fp32|bf16 THREADS   -> tokens a second of the steps behind the first, loss of each step
//   bench_sft answer FOLDER PROMPTS LENGTH NEW BATCH fp32|bf16 THREADS -> answers a second
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/nn/torch.hpp"
#include "taskgalaxy/nn/vlm.hpp"
#include "taskgalaxy/nn/vlm_parts.hpp"
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
std::int64_t id_at(std::int64_t row, std::int64_t column, std::int64_t vocabulary) { return (7 * row + 13 * column + row * column) % (vocabulary - 8) + 4; }

int train(char** a) {
    const auto parts = tg::VlmParts::describe(a[0]);
    const auto batch = std::stoll(a[1]), length = std::stoll(a[2]), steps = std::stoll(a[3]);
    at::set_num_threads(std::stoi(a[5]));
    tg::TrainerOptions options;
    options.dtype = dtype(a[4]);
    const auto solo = tg::make_solo();
    tg::Trainer trainer(*parts, *solo, options);
    std::vector<tg::EncodedSample> samples(static_cast<std::size_t>(batch));
    std::vector<const tg::EncodedSample*> rows;
    for (std::int64_t r = 0; r < batch; ++r) {
        auto& sample = samples[static_cast<std::size_t>(r)];
        for (std::int64_t c = 0; c < length; ++c) sample.ids.push_back(id_at(r, c, parts->language.config.vocabulary));
        sample.labels.assign(sample.ids.begin() + 1, sample.ids.end());
        sample.labels.push_back(tg::ignored_label);
        rows.push_back(&sample);
    }
    const std::vector<tg::MicroBatch> batches{tg::pack(rows)};
    double start = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
        if (step == 1) start = seconds();
        std::printf("loss %.6f\n", trainer.step(batches, 1e-4, step).loss);
    }
    std::printf("tokens_per_s %.1f\npeak_mib %.0f\n", static_cast<double>(batch * length * (steps - 1)) / (seconds() - start), peak_mib());
    return 0;
}

int answer(char** a) {
    at::set_num_threads(std::stoi(a[6]));
    const auto model = tg::VisionLanguageModel::load(a[0], torch::kCPU, dtype(a[5]));
    const auto prompts = std::stoll(a[1]), length = std::stoll(a[2]);
    tg::GenerateOptions options;
    options.max_new_tokens = std::stoi(a[3]);
    options.batch = std::stoi(a[4]);
    std::vector<tg::TokenPrompt> questions(static_cast<std::size_t>(prompts));
    for (std::int64_t p = 0; p < prompts; ++p)
        for (std::int64_t c = 0; c < length; ++c) questions[static_cast<std::size_t>(p)].ids.push_back(id_at(p, c, model.parts().language.config.vocabulary));
    tg::answer_tokens(model.parts(), std::span(questions).subspan(0, 1), options);
    const auto start = seconds();
    const auto answers = tg::answer_tokens(model.parts(), questions, options);
    std::size_t tokens = 0;
    for (const auto& ids : answers) tokens += ids.size();
    std::printf("answers_per_s %.2f\nnew_tokens %zu\npeak_mib %.0f\n", static_cast<double>(prompts) / (seconds() - start), tokens, peak_mib());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 8 && std::string(argv[1]) == "train") return train(argv + 2);
    if (argc == 9 && std::string(argv[1]) == "answer") return answer(argv + 2);
    std::fprintf(stderr, "usage: bench_sft train FOLDER BATCH LENGTH STEPS fp32|bf16 THREADS\n       bench_sft answer FOLDER PROMPTS LENGTH NEW BATCH fp32|bf16 THREADS\n");
    return 2;
}
