#include "taskgalaxy/nn/generation/chat.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/nn/generation/generate.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "taskgalaxy/nn/models/vlm_parts.hpp"

namespace tg::generation {

namespace {

void check(const ChatSettings& settings) {
    if (settings.max_new_tokens < 1)
        throw UsageError(fmt::format("--max-new-tokens {} is below 1", settings.max_new_tokens));
    if (!(settings.temperature >= 0))
        throw UsageError(fmt::format("--temperature {} is below 0", settings.temperature));
    if (!(settings.top_p > 0 && settings.top_p <= 1))
        throw UsageError(fmt::format("--top-p {} is not above 0 and at most 1", settings.top_p));
}

torch::Tensor read_picture(const models::VlmParts& parts, const std::filesystem::path& file) {
    if (!parts.vision)
        throw InputError(fmt::format("{} is a language model without eyes", parts.folder.string()),
                         "leave --image out, or choose a vision-language model");
    const auto bytes = read_text_file(file);
    return models::picture_tiles(std::as_bytes(std::span(bytes)), file.string(), parts.picture_recipe());
}

}  // namespace

struct Chat::Impl {
    ChatSettings settings;
    models::VisionLanguageModel model;
    Prompt prompt;  // its history grows

    Impl(const ChatSettings& given, torch::Device device)
        : settings(given),
          model(models::VisionLanguageModel::load(given.model, device, layers::choose_dtype(given.dtype, device))) {
        if (!given.image.empty()) prompt.pixels = read_picture(model.parts(), given.image);
    }
};

Chat::Chat(const ChatSettings& settings) {
    check(settings);
    at::set_num_threads(static_cast<int>(usable_cores()));
    impl_ = std::make_unique<Impl>(settings, layers::choose_device(settings.device));
}
Chat::~Chat() = default;
Chat::Chat(Chat&&) noexcept = default;

std::string Chat::say(const std::string& question, const std::function<void(std::string_view)>& on_text) {
    auto& [settings, model, prompt] = *impl_;
    prompt.text = question;
    const Options options{.max_new_tokens = settings.max_new_tokens,
                          .batch = 1,
                          .sampling = {.temperature = settings.temperature,
                                       .top_p = settings.top_p,
                                       .seed = settings.seed + prompt.history.size()},
                          .on_text = [&](std::size_t, std::string_view text) { on_text(text); }};
    auto answer = generate(model, std::span(&prompt, 1), options).front();
    prompt.history.push_back({question, answer});
    return answer;
}

}  // namespace tg::generation
