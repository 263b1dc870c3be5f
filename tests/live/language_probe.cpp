// What our language model makes of given token ids, for tests/live/smollm2.py to hold beside transformers.
//   language_probe MODEL WORK.json OUT   WORK: texts [string], prompts [[id]], new_tokens, samples [{ids, labels}],
//   batch, steps, rate, warmup OUT.json: token ids of the texts, answers, loss, lr and gradient norm of each step;
//   OUT.logits: fp32 [positions of all prompts, V].
#include <algorithm>
#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>

#include "schedule.hpp"
#include "taskgalaxy/nn/generation/generate.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "trainer.hpp"

namespace {

using nlohmann::json;
using Ids = std::vector<std::int64_t>;

void write_logits(const tg::models::VlmParts& parts, const std::vector<Ids>& prompts, const std::string& file) {
    const torch::NoGradGuard no_grad;
    std::ofstream out(file, std::ios::binary);
    for (const auto& ids : prompts) {
        const auto packing = parts.language.pack({0, static_cast<std::int64_t>(ids.size())});
        auto x = parts.language.embed(torch::tensor(ids));
        for (const auto& layer : parts.language.layers) x = layer.forward(x, packing);
        const auto logits = parts.language.logits(x).contiguous();
        out.write(reinterpret_cast<const char*>(logits.data_ptr<float>()),
                  static_cast<std::streamsize>(logits.numel() * 4));
    }
}

json train(const std::string& folder, const json& work) {
    const auto parts = tg::models::VlmParts::describe(folder);
    const auto solo = tg::parallel::make_solo();
    tg::training::Trainer trainer(*parts, *solo, {});
    std::vector<tg::training::EncodedSample> samples;
    for (const auto& sample : work["samples"]) {
        auto& row = samples.emplace_back();
        row.ids = sample["ids"].get<Ids>();
        row.labels =
            sample["labels"]
                .get<Ids>();  // at each position its own token, as transformers takes them; ours stand one earlier
        std::rotate(row.labels.begin(), row.labels.begin() + 1, row.labels.end());
        row.labels.back() = tg::text::ignored_label;
    }
    const auto steps = work["steps"].get<std::int64_t>(), batch = work["batch"].get<std::int64_t>();
    const tg::training::Schedule schedule{.peak = work["rate"], .warmup_ratio = work["warmup"], .steps = steps};
    json log = json::array();
    for (std::int64_t step = 0; step < steps; ++step) {
        std::vector<const tg::training::EncodedSample*> rows;
        for (std::int64_t i = 0; i < batch; ++i)
            rows.push_back(&samples[static_cast<std::size_t>(step * batch + i) % samples.size()]);
        const auto result = trainer.step({tg::training::pack(rows)}, schedule.rate(step), step);
        log.push_back({{"loss", result.loss}, {"lr", schedule.rate(step)}, {"norm", result.gradient_norm}});
    }
    return log;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 4) throw std::runtime_error("usage: language_probe MODEL WORK.json OUT");
    const auto work = json::parse(std::ifstream(argv[2]));
    const auto prompts = work["prompts"].get<std::vector<Ids>>();
    json out;
    {
        const auto model = tg::models::VisionLanguageModel::load(argv[1]);
        for (const auto& text : work["texts"]) out["ids"].push_back(model.tokenizer().encode(text.get<std::string>()));
        write_logits(model.parts(), prompts, std::string(argv[3]) + ".logits");
        std::vector<tg::generation::TokenPrompt> questions;
        for (const auto& ids : prompts) questions.push_back({.ids = ids});
        tg::generation::Options options;
        options.max_new_tokens = work["new_tokens"];
        out["answers"] = tg::generation::answer_tokens(model.parts(), questions, options);
    }
    out["training"] = train(argv[1], work);
    std::ofstream(std::string(argv[3]) + ".json") << out;
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
