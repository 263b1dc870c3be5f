#include "answerer.hpp"

#include <fmt/format.h>
#include <future>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/nn/generation/generate.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::evaluation {

struct Answerer::Impl {
    models::VisionLanguageModel model;
    pictures::PictureRecipe recipe;
    PromptFamily family;
    int batch;
    std::size_t pictures_seen;  // most pictures of a question that the model is shown
    ThreadPool decoders;

    Impl(const std::filesystem::path& folder, const EvaluateSettings& settings, torch::Device device)
        : model(models::VisionLanguageModel::load(folder, device, layers::choose_dtype(settings.dtype, device))),
          family(settings.prompts),
          batch(settings.batch),
          pictures_seen(model.image_size() > 0 ? 1 : 0),
          decoders(settings.threads > 0 ? static_cast<std::size_t>(settings.threads) : usable_cores()) {
        if (pictures_seen == 0)
            throw InputError(fmt::format("{}: a language model without eyes cannot answer questions about pictures",
                                         folder.string()));
        recipe = model.parts().picture_recipe(settings.pad_images);
    }

    // One question's prompt and pixels; runs on a decoding thread.
    struct Prepared {
        WordedQuestion words;
        torch::Tensor pixels;
        std::string problem;
        std::uint64_t left_out = 0;
    };
    Prepared prepare(const QuestionFile& file, std::size_t index, PromptStyle style) const {
        Prepared out;
        try {
            const auto pictures = file.pictures(index);
            out.words = word_question(file.questions()[index], style, family, pictures.size(), pictures_seen);
            out.left_out = pictures.size() - std::min(pictures.size(), pictures_seen);
            const auto seen = out.words.pictures.at(0);
            out.pixels = models::picture_tiles(pictures.at(seen), fmt::format("picture {}", seen + 1), recipe);
        } catch (const InputError& error) {  // counted and kept with the question
            out.problem = error.what();
        }
        return out;
    }
};

Answerer::Answerer(const std::filesystem::path& model, const EvaluateSettings& settings)
    : impl_(std::make_unique<Impl>(model, settings, layers::choose_device(settings.device))) {}
Answerer::~Answerer() = default;
Answerer::Answerer(Answerer&&) noexcept = default;
Answerer& Answerer::operator=(Answerer&&) noexcept = default;

Answers Answerer::answer(const QuestionFile& file, parallel::Slice questions, PromptStyle style, int max_new_tokens) {
    std::vector<std::future<Impl::Prepared>> ahead;
    for (auto index = questions.begin; index < questions.end; ++index)
        ahead.push_back(
            impl_->decoders.submit([this, &file, index, style] { return impl_->prepare(file, index, style); }));

    Answers out;
    out.texts.resize(questions.size());
    out.problems.resize(questions.size());
    std::vector<generation::Prompt> prompts;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < ahead.size(); ++i) {
        auto prepared = ahead[i].get();
        out.pictures_left_out += prepared.left_out;
        out.problems[i] = std::move(prepared.problem);
        if (!out.problems[i].empty()) continue;
        prompts.push_back({std::move(prepared.words.text), std::move(prepared.pixels), {}});
        places.push_back(i);
    }
    if (prompts.empty()) return out;
    auto texts = generation::generate(impl_->model, prompts, {.max_new_tokens = max_new_tokens, .batch = impl_->batch});
    for (std::size_t i = 0; i < places.size(); ++i) out.texts[places[i]] = std::move(texts[i]);
    return out;
}

}  // namespace tg::evaluation
